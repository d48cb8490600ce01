import numpy as np
import pytest
import scenes
from statsmodels.stats import proportion

from ferlib.data.fer2013 import Split
from ferlib.evaluate import framing
from ferlib.labels import CLASSES
from ferlib.live.network import load_model


@pytest.fixture(scope="module")
def split():
    images = np.stack([scenes.face(emotion) for emotion in CLASSES])[..., None]
    blank = np.full((1, 48, 48, 1), 90, np.uint8)
    return Split("valid", np.concatenate([blank, images]), np.array([0, *range(7)]), np.arange(8).astype(str))


@pytest.fixture(scope="module")
def boxes(split):
    return framing.find_boxes(split)


def test_a_picture_continues_the_edge_of_the_image(split):
    picture = framing.in_a_picture(split.images[3])
    assert picture.shape == (288, 288)
    np.testing.assert_array_equal(picture[:60, :60], np.full((60, 60), picture[0, 0]))


def test_boxes_are_where_the_faces_are(boxes):
    assert boxes["index"].tolist() == list(range(1, 8)), "every face, and none in the blank image"
    assert boxes["share"].between(0.85, 1.15).all()
    assert boxes[["right", "down"]].abs().max(axis=None) < 0.1
    first = boxes.iloc[0]
    assert first["share"] == max(first["width"], first["height"]) / 144
    assert first["right"] == pytest.approx((first["left"] + first["width"] / 2 - 144) / 144)


def test_the_margin_of_fer2013_reads_best(tmp_path, split, boxes):
    network = load_model(scenes.write_network(tmp_path))
    table = framing.accuracy_by_margin(network, split, boxes, np.array([-0.25, 0.0, 0.4])).set_index("margin")
    assert table.loc[0.0, "accuracy"] == 1 and table.loc[0.0, "difference"] == 0
    assert table["accuracy"].drop(0.0).max() < 0.9 and (table["difference"] <= 0).all()


def test_a_parade_shows_every_face_at_its_place(split):
    frames, boxes = framing.parade(split.images[1:])
    assert len(set(boxes)) == 7 and all(frame.shape == (480, 640, 3) for frame in frames)
    left, top, width, height = boxes[3]
    assert (width, height) == (144, 144)
    shown = frames[3][top : top + height, left : left + width, 0]
    expected = framing.in_a_picture(split.images[4])[72:216, 72:216]
    np.testing.assert_array_equal(shown, expected)


def test_the_whole_chain_is_measured_with_intervals():
    alone = ["happy"] * 10
    chain = framing.whole_chain(["happy"] * 6 + ["sad"] * 2 + [None] * 2, alone)
    assert chain["share"].to_dict() == {"found": 0.8, "same": 0.75, "both": 0.6}
    low, high = proportion.proportion_confint(6, 8, method="wilson")
    assert chain.loc["same", ["low", "high"]].tolist() == pytest.approx([low, high])
    assert framing.whole_chain([None], ["sad"])["share"].tolist() == [0, 0, 0]
