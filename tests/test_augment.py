import cv2
import keras
import numpy as np
import pytest

from ferlib.train.augmentation import POLICIES, Augment, Policy, resample


@pytest.fixture(scope="module")
def images():
    """Return smooth random images, float32 (16, 48, 48, 1), 0..255."""
    noise = np.random.default_rng(0).uniform(0, 255, (16, 48, 48)).astype("float32")
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in noise])
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low) * 255)[..., None]


def changed(policy, images, seed=0):
    return np.asarray(Augment(policy, seed)(images, training=True))


def resampled(images, rows):
    matrices = np.tile(np.array(rows, "float32"), (len(images), 1, 1))
    return np.asarray(resample(keras.ops.convert_to_tensor(images), matrices))


def inside(images, margin=12):
    return images[:, margin:-margin, margin:-margin]


@pytest.mark.parametrize("policy", [Policy(), POLICIES["strong"]])
def test_passes_images_on_outside_training_or_without_a_policy(policy, images):
    np.testing.assert_array_equal(np.asarray(Augment(policy, 0)(images, training=False)), images)
    np.testing.assert_array_equal(np.asarray(Augment(policy, 0)(images)), images)
    stored = images.astype("uint8")
    output = Augment(POLICIES["none"], 0)(stored, training=True)
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    np.testing.assert_array_equal(np.asarray(output), stored)


def test_stays_float32_under_mixed_precision(images):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        output = Augment(POLICIES["strong"], 0)(images, training=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    np.testing.assert_array_equal(np.asarray(output), changed(POLICIES["strong"], images))


def test_flip_alone_mirrors_about_half_of_the_images(images):
    many = np.repeat(images, 25, axis=0)
    output = changed(Policy(flip=0.5), many)
    mirrored = np.array([np.array_equal(new, old[:, ::-1]) for new, old in zip(output, many, strict=True)])
    kept = np.array([np.array_equal(new, old) for new, old in zip(output, many, strict=True)])
    assert (mirrored | kept).all()
    assert 0.4 < mirrored.mean() < 0.6
    np.testing.assert_array_equal(changed(Policy(flip=1.0), images), images[:, :, ::-1])


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"),
    [(12, 1, (0, 0)), (0, 1, (3, -5)), (0, 1.2, (0, 0)), (-9, 0.85, (2.5, 4.25))],
)
def test_resamples_as_opencv_does(degrees, scale, shift, images):
    matrix = cv2.getRotationMatrix2D((23.5, 23.5), degrees, scale)
    matrix[:, 2] += shift
    border = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    expected = np.stack([cv2.warpAffine(image, matrix, (48, 48), **border) for image in images])
    back = cv2.invertAffineTransform(matrix)  # rows x, y; ours are y, x and counted from the centre
    offset = back[:, :2] @ [23.5, 23.5] + back[:, 2] - 23.5
    rows = [[back[1, 1], back[1, 0], offset[1]], [back[0, 1], back[0, 0], offset[0]]]
    # OpenCV rounds positions to 1/32 pixel, and the steepest slope of these images is 60 levels a pixel.
    np.testing.assert_allclose(resampled(images, rows)[..., 0], expected, atol=2.5)
    assert np.abs(resampled(images, rows)[..., 0] - expected).mean() < 0.4


def test_no_and_whole_pixel_shifts_are_exact_and_repeat_the_border(images):
    np.testing.assert_array_equal(resampled(images, [[1, 0, 0], [0, 1, 0]]), images)
    output = resampled(images, [[1, 0, -3], [0, 1, 0]])
    np.testing.assert_array_equal(output[:, 3:], images[:, :-3])
    np.testing.assert_array_equal(output[:, :3], np.repeat(images[:, :1], 3, axis=1))


@pytest.mark.parametrize(
    ("policy", "reach"),
    [(Policy(rotation=12), 12), (Policy(scale=0.2), 0.2), (Policy(shift=0.1), 4.8)],
    ids=["rotation", "scale", "shift"],
)
def test_range_is_used_and_kept(policy, reach):
    # A plane's slope shows how it was turned, sized and moved.
    y, x = np.mgrid[0:48, 0:48] - 23.5
    plane = np.tile((128 + x)[None, ..., None].astype("float32"), (500, 1, 1, 1))
    output = inside(changed(policy, plane))[..., 0]
    slope_y, slope_x = (np.diff(output, axis=axis).mean((1, 2)) for axis in (1, 2))
    measured = {
        12: np.degrees(np.arctan2(slope_y, slope_x)),
        0.2: 1 / np.hypot(slope_x, slope_y) - 1,
        4.8: output.mean((1, 2)) - 128,
    }[reach]
    assert 0.9 * reach < np.abs(measured).max() <= reach * 1.001
    assert abs(measured.mean()) < 0.1 * reach


def test_erases_rectangles_of_the_given_area(images):
    policy = Policy(erase=1.0, erase_area=(0.05, 0.2))
    flat = np.full((400, 48, 48, 1), -1, "float32")
    erased = changed(policy, flat)[..., 0] >= 0
    area = erased.mean((1, 2))
    assert 0.04 < area.min() < 0.07 and 0.17 < area.max() < 0.22
    box = erased.any(1).sum(1) * erased.any(2).sum(1) / 48**2
    np.testing.assert_allclose(box, area)  # filled rectangles, wholly inside
    assert 0.2 < (changed(Policy(erase=0.3), flat) >= 0).any((1, 2, 3)).mean() < 0.4


def test_relights_each_image_about_its_mean(images):
    grey = inside(images) / 2 + 64
    difference = changed(Policy(brightness=10), grey) - grey
    np.testing.assert_allclose(difference.std((1, 2, 3)), 0, atol=1e-3)
    assert 5 < np.abs(difference).max() <= 10
    ratio = changed(Policy(contrast=0.2), grey).std((1, 2, 3)) / grey.std((1, 2, 3))
    assert 0.8 <= ratio.min() < 0.95 and 1.05 < ratio.max() <= 1.2001


def test_seed_decides_the_sequence_and_a_stored_layer_is_rebuilt(images):
    layer = Augment(POLICIES["strong"], 7)
    twins = Augment(POLICIES["strong"], 7), Augment.from_config(layer.get_config())
    first, second = (np.asarray(layer(images, training=True)) for _ in range(2))
    assert np.abs(first - second).mean() > 5
    for twin in twins:
        np.testing.assert_array_equal(np.asarray(twin(images, training=True)), first)
        np.testing.assert_array_equal(np.asarray(twin(images, training=True)), second)
    assert np.abs(changed(POLICIES["strong"], images, seed=8) - first).mean() > 5
    output = changed(POLICIES["standard"], np.tile(images[:1], (8, 1, 1, 1)))
    assert all(np.abs(output[0] - other).mean() > 1 for other in output[1:]), "each image changes in its way"


def test_compiles_with_xla_and_only_training_changes_images(images):
    def losses():
        network = keras.Sequential([keras.Input((48, 48, 1)), Augment(POLICIES["strong"], 3)])
        network.compile(loss="mse", jit_compile=True)
        return network.train_on_batch(images, images), network.test_on_batch(images, images)

    expected = np.mean((changed(POLICIES["strong"], images, seed=3) - images) ** 2)
    trained, tested = losses()
    assert tested == 0
    assert trained == pytest.approx(expected, rel=0.5)  # XLA draws other random numbers
    assert losses()[0] == trained


def test_strength_scales_the_change_and_values_stay_in_range(images):
    standard = POLICIES["standard"]
    distances = [np.abs(changed(standard.times(s), images) - images).mean() for s in (0, 0.5, 1)]
    assert standard.times(1) == standard
    assert standard.times(0) == Policy(flip=0.5)
    assert POLICIES["strong"].times(2) == Policy(0.5, 30, 0.5, 0.3, 40, 0.4, 1.0)
    assert distances[0] < distances[1] < distances[2]
    for policy in POLICIES.values():
        output = changed(policy, images)
        assert output.shape == images.shape and output.min() >= 0 and output.max() <= 255


def test_policies_are_those_that_the_record_was_trained_with():
    """A run is known by the name of its policy: another policy needs another name."""
    assert {
        "none": Policy(),
        "light": Policy(0.5, 6, 0.1, 0.05),
        "standard": Policy(0.5, 12, 0.2, 0.1),
        "strong": Policy(0.5, 15, 0.25, 0.15, 20, 0.2, 0.5, (0.02, 0.2)),
    } == POLICIES
