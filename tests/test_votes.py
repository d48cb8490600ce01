"""The votes of FER+ find their images in every kind of copy, and no others."""

from dataclasses import replace

import cv2
import filed
import numpy as np
import pytest

from ferlib.data import demo, fer2013, votes
from ferlib.labels import CLASSES, FerlibError


def ballot(**counts) -> list[int]:
    """One row of votes; ``no_face`` for the last column."""
    return [counts.get(name.replace(" ", "_"), 0) for name in votes.COLUMNS]


@pytest.fixture(scope="module")
def drawn():
    """Demo faces whose names have numbers of their own, as FER-2013's have."""
    faces = demo.faces((100, 70, 70))
    usages = [name.split("_")[0] for name in faces.names]
    return faces._replace(names=np.array([f"{usage}_{n:08d}.jpg" for n, usage in enumerate(usages)]))


@pytest.fixture
def table_file(tmp_path, monkeypatch):
    """A file in place of the one that ships."""
    file = tmp_path / "votes.npz"
    monkeypatch.setattr(votes, "FILE", file)
    votes._table.cache_clear()
    yield file
    votes._table.cache_clear()


@pytest.fixture
def table(drawn, tmp_path, table_file):
    """Store votes on the drawn faces in place of FER+'s: six for the label, and others that vary."""
    cast = np.zeros((len(drawn.labels), 10), np.uint8)
    cast[:, 8], cast[:, 9] = np.arange(len(cast)) % 3, np.arange(len(cast)) % 2
    cast[np.arange(len(cast)), drawn.labels] = 6
    loaded = fer2013.load(demo.write_csv(drawn, tmp_path / "fer2013.csv"))
    rows = np.concatenate([[int(name.split("_")[1]) for name in split.names] for split in loaded.splits])
    images = np.concatenate([split.images for split in loaded.splits])
    numbers = np.array([int(name.split("_")[1].split(".")[0]) for name in drawn.names])
    filed.store(table_file, images, cast[rows], numbers[rows], rows)
    return cast


def cast_on(split, drawn, cast) -> np.ndarray:
    """The votes on each image of a split, found by the name or row that the demo faces have."""
    if split.names[0].startswith("row_"):
        return cast[[int(name.split("_")[1]) for name in split.names]]
    return cast[[drawn.names.tolist().index(name) for name in split.names]]


@pytest.mark.parametrize("write", ["zip", "folders", "csv"])
def test_votes_find_their_images_in_zip_folders_and_csv(drawn, table, tmp_path, write):
    target = tmp_path / {"zip": "archive.zip", "folders": "unpacked", "csv": "fer2013.csv"}[write]
    for split in fer2013.load(getattr(demo, f"write_{write}")(drawn, target)).splits:
        assert (votes.of(split) == cast_on(split, drawn, table)).all()
        some = split.take(np.arange(0, len(split), 3))
        assert (votes.of(some) == votes.of(split)[::3]).all()


def test_votes_find_renumbered_images_but_those_that_only_a_name_could_tell_apart(drawn, table, tmp_path):
    names = np.array([f"im{number:05d}.jpg" for number in range(len(drawn.names))])
    loaded = fer2013.load(demo.write_folders(drawn._replace(names=names), tmp_path / "renumbered"))
    rows = np.concatenate([[int(name[2:7]) for name in split.names] for split in loaded.splits])
    found = np.concatenate([votes.of(split) for split in loaded.splits])
    known = found.any(axis=1)
    assert (found[known] == table[rows[known]]).all()
    twins = votes._table()["twin_rows"]
    assert set(rows[~known]) == set(twins) and len(twins) >= demo.PLANTED_COPIES


def test_votes_find_images_whose_pixels_another_encoder_changed_and_refuse_others(drawn, table, tmp_path):
    loaded = fer2013.load(demo.write_csv(drawn, tmp_path / "fer2013.csv"))
    for split in loaded.splits:
        copies = np.stack([encoded_again(image) for image in split.images])
        assert (copies != split.images).mean() > 0.01
        copied = replace(split, images=copies)
        assert (votes.of(copied) == cast_on(split, drawn, table)).all()
    shuffled = np.random.default_rng(0).permutation(len(loaded.train))
    with pytest.raises(FerlibError, match="train: .*agree"):
        votes.of(replace(loaded.train, images=loaded.train.images[shuffled]))


def encoded_again(image):
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    return cv2.imdecode(content, cv2.IMREAD_UNCHANGED)[..., np.newaxis]


def test_votes_on_drawn_faces_are_drawn(demo_dataset):
    for split in demo_dataset.splits:
        cast = votes.of(split)
        assert (cast.sum(axis=1) == 10).all() and votes.enough(cast).mean() > 0.95
        agreement = (votes.majority(cast) == split.labels).mean()
        assert 0.65 < agreement < 0.85, "labels of some drawn faces are contradicted"
        some = np.arange(0, len(split), 3)
        assert (votes.of(split.take(some)) == cast[some]).all()
    assert "420 of 420" in votes.describe(demo_dataset) and "drawn" in votes.describe(demo_dataset)


def test_nobody_voted_on_faces_from_elsewhere_nor_for_classes_of_ones_own(
    demo_dataset, drawn, table, tmp_path
):
    assert votes.of(replace(demo_dataset.valid, votes=None)) is None
    folder = demo.write_folders(drawn, tmp_path / "sorted")
    for happy in folder.glob("*/happy"):
        happy.rename(happy.with_name("content"))
    dataset = fer2013.load(folder, own_classes=True)
    assert votes.of(dataset.train) is None and "none" in votes.describe(dataset)


def test_a_single_vote_is_noise():
    shares = votes.distribution(np.array([ballot(happy=6, sad=2, fear=1, contempt=1), ballot(angry=1)]))
    assert shares[0, CLASSES.index("happy")] == 0.75 and shares[0, CLASSES.index("sad")] == 0.25
    assert shares[0].sum() == 1 and not shares[1].any() and shares.dtype == np.float32


def test_images_can_be_labelled_by_what_people_see(demo_dataset):
    cast = np.zeros((len(demo_dataset.valid), 10), np.uint8)
    cast[1:, 4], cast[1, 2], cast[2, 4] = 8, 9, 0  # all sad, but one fear, and two without an answer
    seen = votes.as_people_see(replace(demo_dataset.valid, votes=cast))
    assert seen.names.tolist() == demo_dataset.valid.names[[1, *range(3, len(cast))]].tolist()
    assert seen.labels.tolist() == [2, *[4] * (len(cast) - 3)]
    own = replace(demo_dataset.valid, votes=None)
    assert (votes.as_people_see(own).labels == own.labels).all(), "nobody voted on these"


def test_a_majority_is_a_unique_first_place_and_votes_for_emotions_are_counted():
    happy, disgust = CLASSES.index("happy"), CLASSES.index("disgust")
    for cast, majority, enough, agreed in (
        (ballot(happy=4, sad=3, neutral=3), happy, True, False),
        (ballot(happy=5, sad=5), -1, True, False),
        (ballot(happy=4, contempt=6), -1, False, False),
        (ballot(surprise=4, unknown=4, fear=2), -1, True, False),
        (ballot(), -1, False, False),
        (ballot(disgust=10), disgust, True, True),
        (ballot(happy=3, sad=2, contempt=5), -1, True, False),
        (ballot(happy=6, unknown=4), happy, True, True),
        (ballot(contempt=8, sad=2), -1, False, False),
        (ballot(angry=1, disgust=1, fear=1, happy=1, sad=1, contempt=5), -1, False, False),
    ):
        told = [count(np.array([cast])).item() for count in (votes.majority, votes.enough, votes.agreed)]
        assert told == [majority, enough, agreed], cast


def test_every_voted_image_of_fer2013_is_found_also_from_another_encoder(real_dataset):
    found = [votes.of(split) for split in real_dataset.splits]
    assert [int(cast.any(axis=1).sum()) for cast in found] == [28555, 3579, 3572]
    assert {total for cast in found for total in cast.sum(axis=1)} <= {0, 9, 10}
    valid = real_dataset.valid
    copies = np.stack([encoded_again(image) for image in valid.images])
    again = votes.of(fer2013.Split(valid.name, copies, valid.labels, valid.names))
    assert (copies != valid.images).mean() > 0.01 and (again == found[1]).all()


def test_votes_filed_from_jpegs_are_found_from_what_was_encoded(real_dataset, table_file):
    valid = real_dataset.valid
    # Moved off the blocks that they were encoded in, so that encoding costs as much as it did the first time.
    before = np.roll(valid.images, (4, 3), (1, 2))
    after = np.stack([encoded_again(image) for image in before])
    assert (before != after).mean() > 0.5
    cast = np.random.default_rng(0).permuted(np.tile([5, 3, 2, 0, 0, 0, 0, 0, 0, 0], (len(valid), 1)), axis=1)
    cast[np.arange(len(valid)), valid.labels] += 10
    rows = np.arange(len(valid))
    filed.store(table_file, after, cast.astype(np.uint8), rows, rows)
    names = np.array([f"row_{row:06d}" for row in rows])
    assert (votes.of(fer2013.Split("valid", before, valid.labels, names)) == cast).all()
