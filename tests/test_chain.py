from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scenes

from ferlib import cli
from ferlib.data import fer2013
from ferlib.data.fer2013 import Split
from ferlib.detectors import DETECTORS
from ferlib.evaluate import chain
from ferlib.labels import CLASSES
from ferlib.live.network import load_model
from ferlib.tools import arguments


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return load_model(scenes.write_network(tmp_path_factory.mktemp("network")))


@pytest.fixture(scope="module")
def table(network):
    """Seven drawn faces, one of them with a wrong label, and a picture of nothing."""
    images = np.stack([*(scenes.face(emotion) for emotion in CLASSES), np.full((48, 48), 90, np.uint8)])
    labels = np.array([*range(6), 0, 0])
    return chain.measure(
        network, Split("valid", images[..., None], labels, np.arange(8).astype(str)), quick=True
    )


def test_found_and_right_are_counted_among_all(table):
    assert list(table.index) == list(DETECTORS) and (table["faces"] == 8).all()
    assert (table["found"] == 7 / 8).all() and (table["right"] == 6 / 8).all()
    for share in ("found", "right"):
        assert (table[f"{share}_low"] < table[share]).all() and (table[share] < table[f"{share}_high"]).all()
    assert table["alone"].iloc[0] in (6 / 8, 7 / 8) and (table["milliseconds"] > 0).all()


def test_pieces_without_a_face_are_cut_from_each_photograph(table):
    assert (table["pieces"] == 2 * len(chain.NOBODY)).all() and table["false_alarms"].max() < 0.5
    pieces = list(chain.faceless(1))
    assert len(pieces) == len(chain.NOBODY) and {piece.shape for piece in pieces} == {(480, 480, 3)}
    np.testing.assert_array_equal(pieces[3], list(chain.faceless(1))[3])


def test_the_table_is_kept_and_printed(network, demo_dataset, table, monkeypatch, capsys):
    assert chain.recorded() is None
    monkeypatch.setattr(arguments, "import_keras_quietly", lambda: None)
    monkeypatch.setattr(fer2013, "load", lambda source: demo_dataset)
    monkeypatch.setattr(chain, "measure", lambda *_, **__: table)
    assert cli.main(["bench", "--faces", "--save"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in DETECTORS) and "87.5 %" in told and "faces.csv" in told
    pd.testing.assert_frame_equal(chain.recorded()[["found", "right"]], table[["found", "right"]])


def test_the_readme_shows_the_table_of_the_record(monkeypatch):
    root = Path(__file__).parent.parent
    monkeypatch.setenv("FERLIB_RECORD", str(root / "reports" / "record"))
    told, kept = (root / "README.md").read_text(), chain.recorded()
    for name, row in kept.iterrows():
        shares = " | ".join(f"{100 * row[key]:.1f}" for key in ("found", "right", "false_alarms"))
        slower = row["milliseconds"] / kept.loc[DETECTORS[0], "milliseconds"]
        assert f"| {name} | {shares} | {slower:.2g} |" in told
    assert f"{kept['faces'].iloc[0]} faces of PublicTest" in told
