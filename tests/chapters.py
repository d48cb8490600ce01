"""Executed notebooks that nobody executed, for tests of what is made from notebooks."""

import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

CARD = """# {title}

**Question** What is it?

**Answer** A test, see $x^2$.

**Needs** Nothing.

Introduction."""
FACTS = {
    "role": "provenance",
    "profiles": ["full"],
    "data": "FER-2013 from archive.zip",
    "fingerprint": "0123456789abcdef" * 4,
    "is_demo": False,
    "notes": [],
    "hardware": "A processor, 2 cores, 8 GiB memory",
    "versions": {"Python": "3.12.1", "keras": "3.15.1"},
    "commit": "0a1b2c3d4e",
    "runs": [
        {"experiment": "deep_plain", "seed": 0, "profile": "full", "origin": "record", "device": "A GPU"}
    ],
}


def code(source, *outputs, tags=(), count=1):
    """An executed code cell."""
    return new_code_cell(source, outputs=list(outputs), execution_count=count, metadata={"tags": list(tags)})


def shown(data, facts=None):
    """An output as `display` writes it."""
    return new_output("display_data", data=data, metadata={"ferlib": facts} if facts else {})


def printed(text, name="stdout"):
    """An output as `print` writes it."""
    return new_output("stream", name=name, text=text)


LOSS = "The *loss* falls with $\\eta$. It is low."


def picture(label="fig-curve", caption=LOSS, alt='A "line" & a <dot>', width="50%", size=(144, 72)):
    """A figure as `report.figure` shows it."""
    across, down = size
    size = f'width="{across}pt" height="{down}pt" viewBox="0 0 {across} {down}"'
    path = f'<path d="M 0 0 H {across} V {down} H 0 Z" style="fill: #4682b4"/>'
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{path}</svg>'
    facts = {"role": "figure", "label": label, "caption": caption, "alt": alt, "width": width}
    return shown({"image/svg+xml": drawn}, facts)


def table(
    label="tbl-scores",
    caption="Scores of all. Happy is best.",
    columns=("class", "f1"),
    rows=(("happy", "0.9"),),
):
    """A table as `report.table` shows it."""

    html = pd.DataFrame(rows, columns=columns).to_html(index=False)
    return shown({"text/html": html}, {"role": "table", "label": label, "caption": caption})


def notebook(
    path,
    title,
    *cells,
    facts=None,
    ended="2026-03-04T10:00:00.123456",
    card=CARD,
    parameters="PROFILE = 'full'",
):
    """Write an executed notebook with the usual first and last cells."""
    setup = [code("import ferlib"), code("PROFILE = 'auto'", tags=["parameters"])]
    setup.append(code(f"# Parameters\n{parameters}", tags=["injected-parameters"]))
    last = code("report.provenance(dataset)", shown({"text/markdown": "facts"}, {**FACTS, **(facts or {})}))
    written = new_notebook(cells=[new_markdown_cell(card.format(title=title)), *setup, *cells, last])
    for position, cell in enumerate(written.cells):
        cell["id"] = f"cell-{position}"
    written.metadata["papermill"] = {"end_time": ended}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(written, path)
    return path


def markdown(source):
    """A Markdown cell."""
    return new_markdown_cell(source)
