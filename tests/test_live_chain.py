from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scenes
from statsmodels.stats import proportion

from ferlib import cli, paths
from ferlib.data.fer2013 import Split
from ferlib.evaluate import live_chain
from ferlib.faces import DETECTORS
from ferlib.labels import CLASSES


@pytest.fixture(scope="module")
def split():
    """A picture of nothing and seven drawn faces."""
    images = np.stack([np.full((48, 48), 90, np.uint8), *(scenes.face(emotion) for emotion in CLASSES)])
    return Split("valid", images[..., None], np.array([0, *range(7)]), np.arange(8).astype(str))


@pytest.fixture(scope="module")
def table(network, split):
    """What is found and read where one of the faces has a wrong label."""
    return live_chain.measure(network, replace(split, labels=np.array([0, *range(6), 0])), quick=True)


def test_found_and_right_are_counted_among_all(table):
    assert list(table.index) == list(DETECTORS) and (table["faces"] == 8).all()
    assert (table["found"] == 7 / 8).all() and (table["right"] == 6 / 8).all()
    for share in ("found", "right"):
        assert (table[f"{share}_low"] < table[share]).all() and (table[share] < table[f"{share}_high"]).all()
    assert table["alone"].iloc[0] in (6 / 8, 7 / 8) and (table["milliseconds"] > 0).all()


def test_pieces_without_a_face_are_cut_from_each_photograph(table):
    assert (table["pieces"] == 2 * len(live_chain.NOBODY)).all() and table["false_alarms"].max() < 0.5
    assert {piece.shape for piece in live_chain.faceless(1)} == {(480, 480, 3)}


def test_the_table_is_kept_and_printed(bench_data, table, monkeypatch, capsys):
    monkeypatch.setattr(live_chain, "measure", lambda *_, **__: table)
    assert cli.main(["bench", "--faces", "--save"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in DETECTORS) and "88 (" in told and "faces.csv" in told
    kept = pd.read_csv(paths.record() / "faces.csv", index_col="detector")
    pd.testing.assert_frame_equal(kept[["found", "right"]], table[["found", "right"]])


def test_the_readme_shows_the_table_of_the_record():
    root = Path(__file__).parent.parent
    kept = pd.read_csv(root / "reports" / "record" / "faces.csv", index_col="detector")
    told = (root / "README.md").read_text()
    for name, row in kept.iterrows():
        shares = " | ".join(f"{100 * row[key]:.1f}" for key in ("found", "right", "false_alarms"))
        assert f"| {name} | {shares} |" in told
    assert f"{kept['faces'].iloc[0]} faces of PublicTest" in told


@pytest.fixture(scope="module")
def boxes(split):
    return live_chain.find_boxes(split)


def test_boxes_are_where_the_faces_are(boxes):
    assert boxes["index"].tolist() == list(range(1, 8)), "every face, and none in the blank image"
    assert boxes["share"].between(0.85, 1.15).all()
    first = boxes.iloc[0]
    assert first["share"] == max(first["width"], first["height"]) / 144
    assert abs(first["left"] + first["width"] / 2 - 144) < 0.1 * 144


def test_the_margin_of_fer2013_reads_best(network, split, boxes):
    table = live_chain.accuracy_by_margin(network, split, boxes, np.array([-0.25, 0.0, 0.4]))
    table = table.set_index("margin")
    assert table.loc[0.0, "accuracy"] == 1 and table.loc[0.0, "difference"] == 0
    assert table["accuracy"].drop(0.0).max() < 0.9 and (table["difference"] <= 0).all()


def test_a_parade_shows_every_face_at_its_place(split):
    frames, boxes = live_chain.parade(split.images[1:])
    assert len(set(boxes)) == 7 and all(frame.shape == (480, 640, 3) for frame in frames)
    left, top, width, height = boxes[3]
    assert (width, height) == (144, 144)
    shown = frames[3][top : top + height, left : left + width, 0]
    expected = live_chain.in_a_picture(split.images[4])[72:216, 72:216]
    np.testing.assert_array_equal(shown, expected)


def test_the_whole_chain_is_measured_with_intervals():
    alone = ["happy"] * 10
    chain = live_chain.whole_chain(["happy"] * 6 + ["sad"] * 2 + [None] * 2, alone)
    assert chain["share"].to_dict() == {"found": 0.8, "same": 0.75, "both": 0.6}
    low, high = proportion.proportion_confint(6, 8, method="wilson")
    assert chain.loc["same", ["low", "high"]].tolist() == pytest.approx([low, high])
    assert live_chain.whole_chain([None], ["sad"])["share"].tolist() == [0, 0, 0]


def test_photos_of_any_shape_become_pictures_of_a_webcam():
    photo = np.zeros((100, 300, 3), np.uint8)
    photo[..., 0] = 200  # red
    picture = live_chain.webcam_picture(photo)
    assert picture.shape == (480, 640, 3) and (picture == (0, 0, 200)).all()
    assert live_chain.webcam_picture(photo[..., 1]).shape == (480, 640, 3)
