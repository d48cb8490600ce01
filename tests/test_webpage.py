"""The HTML report stands on its own, loads nothing, and is dark where the reader's screen is."""

import base64
import hashlib
import re

import pytest
from bs4 import BeautifulSoup

from ferlib.report import webpage

SVG = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt">'
    '<path style="fill: #ffffff"/><path style="fill: none; stroke: #0072b2"/><text>a</text>'
    '<image href="data:image/jpeg;base64,abc"/></svg>'
)
PAGE = """<html><head><meta http-equiv="Content-Security-Policy" content=""><style></style></head><body>
<table><tr><td style="text-align: right;">1</td><td class="a" style="text-align: right;">2</td></tr></table>
<img src="fig-a.svg" alt="a" style="--width:50%"><math><mo accent="true">\u0302</mo></math>
<pre>x = 1</pre><math display="block"><mi>x</mi></math>
<script>let a = 1 < 2 && "é";</script></body></html>"""


@pytest.fixture
def html(tmp_path):
    (tmp_path / "fig-a.svg").write_text(SVG)
    return webpage.finished(PAGE, tmp_path)


@pytest.fixture
def page(html):
    return BeautifulSoup(html, "html.parser")


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_policy_lets_in_this_style_sheet_and_this_script_alone(html, page):
    style, script = (re.search(rf"<{tag}>(.*?)</{tag}>", html, re.S)[1] for tag in ("style", "script"))
    assert script == 'let a = 1 < 2 && "é";'
    assert page.meta["content"] == (
        f"default-src 'none'; img-src data:; font-src data:; style-src 'sha256-{digest(style)}'; "
        f"script-src 'sha256-{digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def test_style_attributes_become_rules(page):
    assert not page.find_all(style=True)
    first, second = page.find_all("td")
    assert first["class"] == ["text-align-right"]
    assert second["class"] == ["a", "text-align-right"]
    assert page.style.string.count(".text-align-right { text-align: right; }") == 1
    assert f".{page.img['class'][0]} {{ --width:50% }}" in page.style.string


def test_what_scrolls_sideways_can_be_reached_from_the_keyboard_and_hats_keep_their_size(page):
    assert page.pre["tabindex"] == page.find("math", display="block")["tabindex"] == "0"
    assert not page.find("math", display=False).has_attr("tabindex")
    assert page.mo["stretchy"] == "false" and page.mo.get_text() == "^"


def test_pictures_are_inside_and_turn_dark_but_for_their_photographs(page):
    kind, _, content = page.img["src"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    svg = base64.b64decode(content).decode()
    dark = re.search(r"<style>@media \(prefers-color-scheme: dark\)\{(.*)\}</style>", svg)[1]
    rules = dict(re.findall(r"([^{}]+)\{([^}]*)\}", dark))
    assert rules == {
        '[style*="fill: #ffffff"]': f"fill:{webpage.DARK_BACK}!important",
        '[style*="stroke: #0072b2"]': "stroke:#4aa8df!important",
        "svg": f"fill:{webpage.DARK_TEXT}",
    }
    assert "image" not in dark
    dark = webpage.STYLE.read_text().split("prefers-color-scheme: dark")[1]
    assert f"--back: {webpage.DARK_BACK};" in dark and f"--text: {webpage.DARK_TEXT};" in dark
