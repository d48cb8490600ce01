"""Figures, tables and sentences carry all that the report needs to number and describe them."""

import base64
import hashlib
import io
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib import pyplot as plt
from PIL import Image
from skimage.data import astronaut

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.report import display
from ferlib.train import machine


def cells(shown) -> list[list[str]]:
    rows = BeautifulSoup(shown[0][0]["text/html"], "html.parser").find_all("tr")
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in rows]


def test_figure_is_saved_shown_and_closed(shown, fig):
    display.figure(fig, "loss_curve", caption="The loss grows.", alt="A line from 0 to 4", width="60%")
    saved = (paths.figs() / "loss_curve.svg").read_text(encoding="utf-8")
    (data, facts), (caption, role) = shown
    assert data["image/svg+xml"] == saved
    assert set(data) == {"image/svg+xml", "text/plain"}, "each figure is kept once"
    told = {"caption": "The loss grows.", "alt": "A line from 0 to 4", "width": "60%"}
    assert facts == told | {"role": "figure", "label": "fig-loss-curve"}
    assert role == {"role": "caption"} and "The loss grows." in caption["text/markdown"]
    assert not plt.fignum_exists(fig.number)


def test_the_same_figure_gives_the_same_bytes(fig):
    digests = {hashlib.sha256(display.save_figure(fig, "twice").read_bytes()).hexdigest() for _ in range(2)}
    assert len(digests) == 1
    content = (paths.figs() / "twice.svg").read_text(encoding="utf-8")
    assert "<metadata>" not in content, "it would tell the day"
    assert "<image" not in content, "lines and letters stay lines"


def embedded(*pictures, **options) -> list[Image.Image]:
    """The pictures in a figure that shows some, as they are stored."""
    fig, axes = plt.subplots(1, len(pictures), squeeze=False, figsize=(4, 4))
    for ax, picture in zip(axes.flat, pictures, strict=True):
        ax.imshow(picture, **options)
    svg = display.save_figure(fig, "pictures").read_text(encoding="utf-8")
    plt.close(fig)
    found = re.findall(r"data:image/(?:png|jpeg);base64,([^\"]*)", svg)
    return [Image.open(io.BytesIO(base64.b64decode(content))) for content in found]


def test_photographs_become_jpeg_and_small_faces_keep_their_pixels():
    photo = np.asarray(Image.fromarray(astronaut()).resize((300, 300)))
    (stored,) = embedded(photo)
    assert (stored.format, stored.mode) == ("JPEG", "RGB")
    face = photo[60:108, 130:178, 0]
    shown = embedded(face, face // 128 * 255, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    assert [picture.size for picture in shown] == [(48, 48)] * 2
    assert [picture.mode for picture in shown] == ["L", "L"], "grey ones have one channel"
    assert [picture.format for picture in shown] == ["JPEG", "PNG"], "whichever is smaller"
    assert np.abs(np.asarray(shown[0], int) - face).mean() < 3
    assert (np.asarray(shown[1]) == face // 128 * 255).all()

    (stored,) = embedded(np.full((48, 48, 4), 128, "uint8"), interpolation="nearest")
    assert (stored.format, stored.mode) == ("PNG", "RGBA") and stored.getextrema()[3][0] < 255


@pytest.mark.parametrize(
    "change", [{"caption": " "}, {"alt": ""}, {"name": "Loss Curve"}, {"name": "../loss"}]
)
def test_figure_refuses_what_the_report_cannot_show(shown, fig, change):
    arguments = {"name": "loss", "caption": "A finding.", "alt": "A line"} | change
    with pytest.raises(FerlibError):
        display.figure(fig, arguments.pop("name"), **arguments)
    assert not shown
    assert not list(paths.figs().glob("**/*.svg"))


def test_table_formats_and_aligns_numbers(shown):
    frame = pd.DataFrame(
        {
            "train_images": [28709, 12],
            "accuracy": [0.7312, -0.02],
            "p": [2e-5, np.nan],
            "spread": ["65.1 ± 0.4", ""],
            "note": ["a<b", None],
        }
    )
    display.table(frame, "scores", caption="Scores.", formats={"accuracy": "{:.1%}", "p": ".5f"})
    assert cells(shown) == [
        ["train images", "accuracy", "p", "spread", "note"],
        ["28,709", "73.1\u00a0%", "0.00002", "65.1 ± 0.4", "a<b"],
        ["12", "−2.0\u00a0%", "–", "", "–"],
    ]
    html = BeautifulSoup(shown[0][0]["text/html"], "html.parser")
    sides = [cell["style"].split(": ")[1] for cell in html.find_all("tr")[1].find_all("td")]
    assert sides == ["right", "right", "right", "right", "left"]
    assert shown[0][1] == {"role": "table", "label": "tbl-scores", "caption": "Scores."}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.7312, 0.02], ["0.731", "0.020"]),
        ([65.432, 7.1], ["65.4", "7.1"]),
        ([12345.6, 1.5], ["12,346", "2"]),
        ([3.0, 4.0], ["3", "4"]),
        ([True, False], ["yes", "no"]),
    ],
)
def test_default_formats_suit_the_largest_number_of_a_column(shown, values, expected):
    display.table(pd.DataFrame({"x": values}), "numbers", caption="Numbers.")
    assert [row[0] for row in cells(shown)[1:]] == expected
    shown.clear()
    display.table(pd.DataFrame({"x": [*values, None]}).convert_dtypes(), "numbers", caption="Numbers.")
    assert [row[0] for row in cells(shown)[1:]] == [*expected, "–"]


@pytest.mark.parametrize(
    ("index", "expected"), [(None, [["n"], ["1"]]), ("class", [["class", "n"], ["happy", "1"]])]
)
def test_only_a_named_index_is_shown(shown, index, expected):
    frame = pd.DataFrame({"n": [1]}, index=pd.Index(["happy"], name=index))
    display.table(frame, "counts", caption="Counts.")
    assert cells(shown) == expected


def test_table_refuses_empty_captions_and_formats_of_no_column(shown):
    with pytest.raises(FerlibError, match="caption"):
        display.table(pd.DataFrame({"n": [1]}), "counts", caption="")
    with pytest.raises(FerlibError, match="no column 'm'"):
        display.table(pd.DataFrame({"n": [1]}), "counts", caption="Counts.", formats={"m": ",d"})
    assert not shown


def a_dataset(**changes):
    facts = {"source": "FER-2013 from archive.zip", "location": Path("/home/a reader/archive.zip")}
    facts |= {"fingerprint": "a" * 64, "is_demo": False, "notes": ()}
    return SimpleNamespace(**facts | changes)


def a_run(profile: str):
    made = {"experiment": SimpleNamespace(id="deep_plain"), "seed": 1, "profile": profile}
    return SimpleNamespace(**made, origin="record", result={"device": "A GPU", "test_accuracy": 0.7})


def test_provenance_tells_data_machine_and_runs(shown):
    dataset = a_dataset(notes=("odd",))
    display.provenance(dataset, [a_run("full"), a_run("quick")], profile="auto")
    (data, facts) = shown[0]
    told = {"profiles": ["full", "quick"], "fingerprint": "a" * 64, "data": "FER-2013 from archive.zip"}
    told |= {"notes": ["odd"], "versions": machine.versions()}
    assert {name: facts[name] for name in told} == told
    run = {"experiment": "deep_plain", "seed": 1, "profile": "full", "origin": "record", "device": "A GPU"}
    assert facts["runs"][0] == run
    assert "Demo faces" not in data["text/markdown"]
    display.provenance(a_dataset(source="demo faces", is_demo=True, location=None), profile="quick")
    data, facts = shown[1]
    assert facts["is_demo"] and facts["profiles"] == ["quick"]
    assert "Demo faces, not FER-2013" in data["text/markdown"]
