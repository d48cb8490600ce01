"""The HTML report in a real browser: on a phone and on a desk, by day and by night."""

import os
import shutil
from pathlib import Path

import pytest
from sources import PAGES

REPORT = Path(os.environ.get("FERLIB_REPORT", Path(__file__).parent.parent / "reports" / "report.html"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (360, 768, 1280)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, as from: apt install chromium"),
]


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="needs: pip install -e '.[browser]'")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in ("light", "dark")], ids=str)
def page(request, chromium):
    """Return the report as it is shown, and what the browser complained of and asked the network for."""
    width, scheme = request.param
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.complaints, page.asked = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.goto(REPORT.as_uri())
    yield page
    PAGES[width, scheme] += 1
    page.close()


def test_it_fits_loads_nothing_and_complains_of_nothing(page):
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.mouse.wheel(0, 30_000)
    assert page.complaints == []
    assert [url[:80] for url in page.asked if not url.startswith(("file:", "data:"))] == []


def test_every_picture_is_seen_and_described(page):
    pictures = page.evaluate("[...document.images].map(one => [one.alt, one.naturalWidth, one.clientWidth])")
    assert len(pictures) > 10
    assert [one for one in pictures if not (one[0].strip() and one[1] > 0 and one[2] > 20)] == []


def test_every_link_inside_leads_somewhere(page):
    lost = """[...document.querySelectorAll('a[href^="#"]')].map(link => link.getAttribute("href"))
        .filter(href => !document.getElementById(decodeURIComponent(href.slice(1))))"""
    assert page.evaluate(lost) == []
    contents = page.locator('nav a[href^="#"]')
    assert contents.count() > 8
    last = contents.last
    unfold = page.locator("label", has_text="Contents")
    assert unfold.is_visible() != last.is_visible(), "folded away on a phone, beside the text on a desk"
    if unfold.is_visible():
        unfold.click()
    last.click()
    page.wait_for_timeout(300)
    chapter = last.get_attribute("href")[1:]
    assert page.evaluate(
        "id => Math.abs(document.getElementById(id).getBoundingClientRect().top) < 900", chapter
    )
    assert unfold.is_visible() != last.is_visible(), "folded away again"


def test_everybody_can_read_it(page):
    """No serious fault by axe: contrast, names, order of headings, regions that scroll, languages."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs: pip install -e '.[browser]'"
    )
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.locator("details:not([open])").count() == 0 < page.locator("details").count()
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (fault["id"], fault["help"], len(fault["nodes"]), fault["nodes"][0]["html"][:200])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
