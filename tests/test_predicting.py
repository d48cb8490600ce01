import keras
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from ferlib.data.fer2013 import Split
from ferlib.evaluate import metrics
from ferlib.labels import CLASSES, FerlibError
from ferlib.train import predicting
from ferlib.train.predicting import Predictions


def predictions(n=400, seed=0, skill=0.6):
    """Random predictions that put some weight on the label."""
    generator = np.random.default_rng(seed)
    labels = np.random.default_rng(99).choice(7, n, p=[0.14, 0.02, 0.14, 0.25, 0.17, 0.11, 0.17])
    probabilities = generator.dirichlet(np.ones(7) * 0.5, n)
    probabilities[np.arange(n), labels] += skill * generator.random(n)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    names = np.array([f"face_{number}.png" for number in range(n)])
    return Predictions(labels, probabilities.astype("float32"), names, CLASSES)


def split_of(images, labels=None, classes=CLASSES):
    labels = np.zeros(len(images), "int64") if labels is None else labels
    return Split("valid", images, labels, np.arange(len(images)).astype(str), classes)


def corner_network():
    """Return the softmax of seven pixels of the top row."""
    images = keras.Input((48, 48, 1))
    pixels = keras.layers.Flatten()(keras.layers.Cropping2D(((0, 47), (0, 41)))(images))
    return keras.Model(images, keras.layers.Softmax()(keras.layers.Rescaling(1 / 50)(pixels)))


def softmax(pixels):
    weights = np.exp(pixels / 50)
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (10, 48, 48, 1), dtype="uint8")


def test_one_pass_gives_labels_names_and_probabilities(images):
    split = split_of(images, np.arange(10) % 7)
    result = predicting.predict(corner_network(), split)
    np.testing.assert_allclose(result.probabilities, softmax(images[:, 0, :7, 0].astype(float)), atol=1e-5)
    assert result.probabilities.dtype == np.float32
    assert (result.labels == split.labels).all() and (result.names == split.names).all()
    assert (result.predicted == images[:, 0, :7, 0].argmax(axis=1)).all()
    np.testing.assert_allclose(result.confidence, result.probabilities.max(axis=1))


def test_a_head_reads_features_that_have_no_places():
    features = np.random.default_rng(2).random((5, 3), "float32")
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(7, "softmax")])
    result = predicting.predict(head, split_of(features))
    np.testing.assert_allclose(result.probabilities, np.asarray(head(features)), atol=1e-6)


def test_the_last_batch_has_the_shape_of_the_others(images):
    batches = []

    class Network:
        output_shape = (None, 7)

        def predict_on_batch(self, batch):
            batches.append((batch.shape, batch.dtype))
            return batch[:, 0, :7, 0].astype("float64")

    told = predicting.outputs(Network(), images[:9], batch_size=4)
    assert batches == [((4, 48, 48, 1), np.uint8)] * 3
    assert np.array_equal(told, images[:9, 0, :7, 0]) and told.dtype == np.float32


def test_the_images_alone_and_with_their_mirror_images_come_from_the_same_passes(images, monkeypatch):
    passes, really = [], predicting.outputs
    monkeypatch.setattr(predicting, "outputs", lambda *args: passes.append(1) or really(*args))
    alone, flipped = predicting.predict_views(corner_network(), split_of(images), views="flip")
    assert len(passes) == 2
    row = images[:, 0, :, 0].astype(float)
    expected = softmax(row[:, :7]), softmax(row[:, ::-1][:, :7])
    np.testing.assert_allclose(alone.probabilities, expected[0], atol=1e-5)
    np.testing.assert_allclose(flipped.probabilities, np.mean(expected, axis=0), atol=1e-5)
    single = predicting.predict_views(corner_network(), split_of(images), views="single")
    for one in single:
        np.testing.assert_array_equal(one.probabilities, alone.probabilities)


def test_ten_views_are_crops_of_the_padded_image(images, monkeypatch):
    seen, low = [], images[:, :40]
    monkeypatch.setattr(predicting, "outputs", lambda model, view: seen.append(view) or np.ones((10, 7)))
    predicting.predict_views(corner_network(), split_of(low), views="ten")
    padded = np.pad(low, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    crops = [padded[:, y : y + 40, x : x + 48] for y, x in [(2, 2), (0, 0), (0, 4), (4, 0), (4, 4)]]
    views = [view.tobytes() for crop in crops for view in (crop, crop[:, :, ::-1])]
    assert sorted(view.tobytes() for view in seen) == sorted(views)


def test_unknown_views_and_wrong_classes_are_refused(images):
    with pytest.raises(ValueError, match="single, flip, ten"):
        predicting.predict_views(corner_network(), split_of(images), views="twelve")[1]
    with pytest.raises(FerlibError, match="7 classes .* 2 \\(sad, happy\\)"):
        predicting.predict(corner_network(), split_of(images, classes=("sad", "happy")))


def test_predictions_must_fit_together():
    good = predictions(5)
    with pytest.raises(ValueError, match="5 labels of 7 classes"):
        Predictions(good.labels, good.probabilities[:4], good.names, good.classes)
    with pytest.raises(ValueError, match="4 names"):
        Predictions(good.labels, good.probabilities, good.names[:4], good.classes)


def test_balanced_accuracy_leaves_out_classes_that_do_not_occur_and_f1_counts_them():
    one = predictions()
    some = one.take(one.labels != 1)
    recalls = [some.correct[some.labels == k].mean() for k in set(some.labels)]
    assert some.balanced_accuracy == pytest.approx(np.mean(recalls))
    for part in (one, some):
        scores = reference.f1_score(part.labels, part.predicted, labels=range(7), average=None)
        assert part.macro_f1 == pytest.approx(scores.mean()) and part.accuracy == part.correct.mean()


def test_take_selects_by_mask_and_by_position():
    one = predictions(20)
    mask = np.arange(20) % 3 == 0
    for some in (one.take(mask), one.take(np.flatnonzero(mask))):
        assert list(some.names) == list(one.names[mask])
        assert (some.labels == one.labels[mask]).all()
        assert (some.probabilities == one.probabilities[mask]).all()


def test_confusion_has_true_classes_as_rows():
    one = predictions()
    counts = metrics.confusion(one, normalize=False)
    sad, fear = CLASSES.index("sad"), CLASSES.index("fear")
    assert counts.loc["sad", "fear"] == ((one.labels == sad) & (one.predicted == fear)).sum()
    assert tuple(counts.index) == tuple(counts.columns) == tuple(sorted(CLASSES))
    assert (counts.index.name, counts.columns.name) == ("true", "predicted")
    shares = metrics.confusion(one)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares.loc["sad"], counts.loc["sad"] / (one.labels == sad).sum())
    single = metrics.confusion(one.take([0]))
    assert single.shape == (7, 7) and single.to_numpy().sum() == 1, "also classes that do not occur"


def test_recall_intervals_are_wilson_intervals():
    one = predictions()
    table = metrics.recall_intervals(one)
    fear = one.correct[one.labels == CLASSES.index("fear")]
    expected = stats.binomtest(int(fear.sum()), len(fear)).proportion_ci(method="wilson")
    assert table.loc["fear", ["low", "high"]].tolist() == pytest.approx([expected.low, expected.high])
    assert tuple(table.index) == tuple(sorted(CLASSES)) and table.index.name == "class"


def test_mcnemar_counts_who_alone_is_right():
    first, second = predictions(skill=0.3), predictions(seed=1, skill=1.0)
    result = metrics.mcnemar(first, second)
    ours, theirs = (first.correct & ~second.correct).sum(), (~first.correct & second.correct).sum()
    assert result == pytest.approx(stats.binomtest(ours, ours + theirs).pvalue) and result < 0.01
    assert metrics.mcnemar(first, first) == 1
    with pytest.raises(ValueError, match="same images"):
        metrics.mcnemar(first, first.take(np.arange(400)[::-1]))


def test_among_some_classes_the_others_cannot_be_chosen():
    chances = np.array([[0.5, 0.2, 0.3], [0.1, 0.6, 0.3], [0.2, 0.7, 0.1], [0.2, 0.3, 0.5]], "float32")
    told = Predictions(np.array([2, 0, 1, 2]), chances, np.array(list("abcd")), ("x", "y", "z"))
    kept = told.among(("z", "x"))
    assert kept.classes == ("z", "x") and list(kept.names) == ["a", "b", "d"]
    assert [kept.classes[label] for label in kept.labels] == ["z", "x", "z"]
    assert [kept.classes[label] for label in kept.predicted] == ["x", "z", "z"]
    np.testing.assert_allclose(kept.probabilities.sum(axis=1), 1, rtol=1e-6)
    assert told.among(told.classes).accuracy == told.accuracy
