"""The look of all figures: font, lines and colours."""

from pathlib import Path

import font_source_sans_pro
import seaborn as sns
from matplotlib import font_manager

SPLIT_COLOURS = {"train": "#0072B2", "valid": "#E69F00", "test": "#009E73"}
"""One colour a split, from the same palette."""

INK, FAINT, RIGHT, WRONG = "#2B2B2B", "#B8B8B8", "#007A58", "#B24A00"
"""Text, helper lines, and what was told rightly or wrongly."""


def theme() -> None:
    """Set the look of every figure: the report's font, thin axes, and colours told apart by everyone."""
    for file in sorted((Path(font_source_sans_pro.__file__).parent / "files").glob("*.ttf")):
        font_manager.fontManager.addfont(file)
    sns.set_theme(
        style="ticks",
        palette=[*SPLIT_COLOURS.values(), "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F"],
        rc={
            "font.family": ["Source Sans Pro", "DejaVu Sans"],
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 11,
            "axes.labelcolor": INK,
            "axes.edgecolor": FAINT,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": "#E8E8E8",
            "grid.linewidth": 0.8,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "xtick.minor.size": 0,
            "ytick.minor.size": 0,
            "legend.frameon": False,
            "legend.fontsize": 10,
            "figure.figsize": (7, 4),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "svg.hashsalt": "ferlib",
        },
    )
