"""What a notebook shows to the report: figures, tables, prose and where its numbers come from.

All that is displayed reads well in the notebook and carries ``metadata["ferlib"]``, from which
:mod:`ferlib.report.render` makes numbered figures, tables and cross-references (``@fig-sample-images``,
``@tbl-dataset-counts``, ``[@goodfellow2013]``).
"""

import base64
import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image, ImageChops

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.train import machine
from ferlib.words import minus

DPI = 200
"""Resolution of photographs in saved figures, dots per inch; small images keep their own pixels."""

JPEG_QUALITY = 90
"""Of photographs, 0 to 100; at this one nobody sees a difference."""

MISSING = "–"
"""What is written for a value that these runs don't have."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBER = re.compile(r"[-−+±]?[\d,.]+(e[-+]?\d+)?(\s?[%×]| ?± ?[\d.]+)?")
_EMBEDDED = re.compile(r"data:image/png;base64,([^\"]*)")


def save_figure(fig: Figure, name: str) -> Path:
    """Save a figure, cropped to what is drawn, as ``figs/<name>.svg``; the same figure gives the same bytes.

    Lines and letters stay lines, sharp at every size; photographs in it become JPEG.
    """
    path = paths.figs() / f"{name}.svg"
    for image in fig.findobj(AxesImage):
        if image.get_interpolation() == "nearest":  # whoever shows it enlarges its own pixels as sharply
            image.set_interpolation("none")
    with paths.written_atomically(path) as temporary, plt.rc_context({"svg.hashsalt": name}):
        drawn = io.StringIO()
        untold = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        fig.savefig(drawn, format="svg", dpi=DPI, bbox_inches="tight", metadata=untold)
        temporary.write_text(_EMBEDDED.sub(_smaller, drawn.getvalue()), encoding="utf-8")
    return path


def _smaller(embedded: re.Match) -> str:
    """Write an embedded PNG as JPEG or PNG, whichever is smaller; what is below shows through a PNG only."""
    picture = Image.open(io.BytesIO(base64.b64decode(embedded[1]))).convert("RGBA")
    written = {"png": {"optimize": True}, "jpeg": {"quality": JPEG_QUALITY, "subsampling": 0}}
    if picture.getextrema()[3][0] < 255:
        del written["jpeg"]
    else:
        picture = picture.convert("RGB")
        grey = picture.convert("L")
        picture = picture if ImageChops.difference(picture, grey.convert("RGB")).getbbox() else grey
    files = {}
    for kind, options in written.items():
        files[kind] = io.BytesIO()
        picture.save(files[kind], kind, **options)
    kind = min(files, key=lambda kind: files[kind].tell())
    return f"data:image/{kind};base64,{base64.b64encode(files[kind].getvalue()).decode()}"


def figure(fig: Figure, name: str, *, caption: str, alt: str, width: str = "80%") -> None:
    """Save, show and close a figure that the report numbers.

    Args:
        fig: Figure to show.
        name: Small letters, digits and underscores; prose refers to it as ``@fig-<name, with dashes>``.
        caption: What the figure shows and what is to be seen in it, Markdown in one paragraph.
        alt: Description for readers who don't see it: kind of plot, axes, main values; plain text.
        width: Share of the text width, such as ``"80%"``.

    Raises:
        FerlibError: If caption or alt text is empty, or the name is of another form.
    """
    _check(name, caption=caption, alt=alt)
    picture = save_figure(fig, name).read_text(encoding="utf-8")
    facts = {"role": "figure", "label": _label("fig", name), "caption": caption, "alt": alt, "width": width}
    data = {"image/svg+xml": picture, "text/plain": f"<Figure {name}>"}
    display(data, metadata={"ferlib": facts}, raw=True)
    show_markdown(f"**Figure.** {caption}", {"role": "caption"})
    plt.close(fig)


def table(
    frame: pd.DataFrame, name: str, *, caption: str, formats: Mapping[str, str | Callable] | None = None
) -> None:
    """Show a table that the report numbers; an index without a name is left out.

    Args:
        frame: The table. Columns of numbers stand on the right, all of a float column with the decimals
            its largest needs for three digits; missing values become a dash, underscores in headings blanks.
        name: As for :func:`figure`; prose refers to it as ``@tbl-<name, with dashes>``.
        caption: What the table shows and what is to be seen in it, Markdown in one paragraph.
        formats: Column or index name to format, such as ``"{:.1%}"``, ``",d"`` or a function of the value.

    Raises:
        FerlibError: If the caption is empty, the name is of another form, or a format names no column.
    """
    _check(name, caption=caption)
    frame = frame.reset_index() if any(part is not None for part in frame.index.names) else frame
    frame = frame.set_axis([_heading(column) for column in frame.columns], axis="columns")
    formats = {_heading(column): form for column, form in (formats or {}).items()}
    if unknown := set(formats) - set(frame.columns):
        raise FerlibError(
            f"table {name!r} has no column {sorted(unknown)[0]!r}; it has {', '.join(frame.columns)}"
        )
    facts = {"role": "table", "label": _label("tbl", name), "caption": caption}
    data = {"text/html": _as_html(frame, formats), "text/plain": frame.to_string(index=False)}
    display(data, metadata={"ferlib": facts}, raw=True)
    show_markdown(f"**Table.** {caption}", {"role": "caption"})


def provenance(dataset, runs: Sequence = (), profile: str | None = None) -> None:
    """Say what a notebook's numbers were made from; the profile counts where there are no runs."""
    profiles = sorted({run.profile for run in runs})
    if not profiles and profile not in (None, "auto"):
        profiles = [profile]
    facts = {
        "role": "provenance",
        "profiles": profiles,
        "data": dataset.source,
        "fingerprint": dataset.fingerprint,
        "is_demo": dataset.is_demo,
        "notes": list(dataset.notes),
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        "commit": machine.commit(),
        "runs": [
            {
                "experiment": run.experiment.id,
                "seed": run.seed,
                "profile": run.profile,
                "origin": run.origin,
                "device": run.result["device"],
            }
            for run in runs
        ],
    }
    warning = "**Demo faces, not FER-2013: no number here is a finding.**\n\n" if dataset.is_demo else ""
    rows = {
        "Data": f"{facts['data']}, fingerprint `{dataset.fingerprint[:12]}`",
        "Profile": ", ".join(profiles) or "no training",
        "Runs": str(len(runs)),
        "Hardware": facts["hardware"],
        "Versions": ", ".join(f"{package} {version}" for package, version in facts["versions"].items()),
        "Commit": f"`{facts['commit']}`",
    }
    show_markdown(warning + "\n".join(f"- **{name}:** {text}" for name, text in rows.items()), facts)


def show_markdown(markdown: str, facts: dict) -> None:
    """Show Markdown, with what the report needs to know of it, its ``role`` among that."""
    display({"text/markdown": markdown, "text/plain": markdown}, metadata={"ferlib": facts}, raw=True)


def _check(name: str, **texts: str) -> None:
    if not _NAME.fullmatch(name):
        raise FerlibError(f"{name!r} cannot name a figure or table: use a to z, digits and underscores")
    for kind, text in texts.items():
        if not text.strip():
            raise FerlibError(f"{name!r} has no {kind}: figures and tables must say what they show")


def _label(kind: str, name: str) -> str:
    return f"{kind}-{name.replace('_', '-')}"


def _heading(column) -> str:
    return str(column).replace("_", " ")


def _as_html(frame: pd.DataFrame, formats: Mapping[str, str | Callable]) -> str:
    columns, styles, head = [], [], ""
    for heading, values in frame.items():
        form = formats.get(heading) or _default_format(values)
        columns.append([html.escape(_formatted(value, form), quote=False) for value in values])
        styles.append(f' style="text-align: {"right" if _are_numbers(columns[-1]) else "left"}"')
        head += f'<th scope="col"{styles[-1]}>{html.escape(heading)}</th>'
    body = "\n".join(
        "<tr>" + "".join(f"<td{style}>{cell}</td>" for cell, style in zip(row, styles, strict=True)) + "</tr>"
        for row in zip(*columns, strict=True)
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _are_numbers(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell not in ("", MISSING)]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)


def _default_format(values: pd.Series) -> str | Callable:
    if pd.api.types.is_bool_dtype(values):
        return lambda value: "yes" if value else "no"
    if pd.api.types.is_integer_dtype(values):
        return ","
    if not pd.api.types.is_float_dtype(values):
        return str
    finite = [abs(value) for value in values.dropna() if math.isfinite(value)]
    largest = max(finite, default=0)
    if all(value == round(value) for value in finite):
        return ",.0f"
    return f",.{max(0, 3 - max(-3, math.floor(math.log10(largest)) + 1))}f"


def _formatted(value, form: str | Callable) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return MISSING
    if callable(form):
        return str(form(value))
    text = form.format(value) if "{" in form else format(value, form)
    if isinstance(value, str):
        return text
    return minus(text).replace("%", "\u00a0%")
