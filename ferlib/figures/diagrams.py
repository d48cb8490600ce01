"""Drawings of networks: layers gathered into stages, left to right, with shapes and parameter counts."""

from dataclasses import dataclass, field
from math import log2, prod, sqrt

import keras
import matplotlib.pyplot as plt
import pandas as pd
from keras import layers
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Polygon

from ferlib.figures.style import FAINT, INK
from ferlib.train import models
from ferlib.words import minus, short

COLOURS = {"input": "#C9C9C9", "convolution": "#56B4E9", "dense": "#E69F00", "output": "#009E73"}
"""Colour of each kind of stage."""

_NAMES = {
    "BatchNormalization": "batch norm",
    "GlobalAveragePooling2D": "global average",
    "Flatten": "flatten",
}


@dataclass
class Stage:
    """A run of layers drawn as one block."""

    kind: str  # a key of COLOURS
    shape: tuple[int, ...]  # that the last layer returns: (height, width, channels) or (units,)
    parameters: int = 0
    macs: int = 0
    steps: list[str] = field(default_factory=list)  # what its layers do, in order
    resolution: int | None = None  # height of what its first convolution returns; None without one


def stages(model: keras.Model) -> list[Stage]:
    """Gather a chain of layers into stages: convolutions at one resolution, or one dense layer."""
    found = [Stage("input", tuple(model.input.shape[1:]))]
    for layer in model.layers[1:]:
        if _begins_stage(layer, found[-1]):
            found.append(Stage("convolution" if isinstance(layer, layers.Conv2D) else "dense", ()))
        _join(found[-1], layer)
    found[-1].kind = "output"
    return found


def _begins_stage(layer, stage):
    if isinstance(layer, layers.Conv2D):
        return stage.resolution != layer.output.shape[1]
    if isinstance(layer, layers.Dense):
        return stage.kind != "dense" or any(step.startswith("dense") for step in stage.steps)
    return isinstance(layer, (layers.Flatten, layers.GlobalAveragePooling2D))


def _join(stage, layer):
    """Let a layer join a stage."""
    stage.shape = tuple(layer.output.shape[1:])
    stage.parameters += layer.count_params()
    stage.macs += models.macs(layer)
    if isinstance(layer, layers.Conv2D):
        stage.resolution = stage.resolution or layer.output.shape[1]
    if step := _step(layer):
        stage.steps.append(step)
    activation = getattr(layer, "activation", None)
    if activation is not None and activation.__name__ != "linear":
        stage.steps.append(activation.__name__.replace("relu", "ReLU"))


def _step(layer):
    """Say what a layer does; None for a mere activation."""
    if isinstance(layer, layers.Conv2D):
        return "conv {}×{}, {}".format(*layer.kernel_size, layer.filters)
    if isinstance(layer, layers.MaxPooling2D):
        return "max pool {}×{}".format(*layer.pool_size)
    if isinstance(layer, layers.Dense):
        return f"dense {layer.units}"
    if isinstance(layer, layers.Dropout):
        return f"dropout {layer.rate:g}"
    if isinstance(layer, layers.Rescaling):
        return f"÷ {1 / layer.scale:g}, {minus(f'{layer.offset:+g}')}"
    name = type(layer).__name__
    return None if name == "Activation" else _NAMES.get(name, name)


def table(model: keras.Model) -> pd.DataFrame:
    """Return a network's stages from input to output, and their sum.

    Returns:
        Columns ``stage`` (what its layers do, in their order), ``output`` (shape), ``parameters``,
        ``multiplications`` (for one image).
    """
    found = [
        (" → ".join(stage.steps), "×".join(map(str, stage.shape)), stage.parameters, stage.macs)
        for stage in stages(model)
    ]
    *_, parameters, macs = zip(*found, strict=True)
    columns = ["stage", "output", "parameters", "multiplications"]
    return pd.DataFrame([*found, ("sum", "", sum(parameters), sum(macs))], columns=columns)


def architecture(model: keras.Model) -> Axes:
    """Draw a network from its input at the left to its output at the right.

    Each block is what a stage returns: its front grows with the image, its depth with the channels.
    Above stands the shape, below what the stage does and its number of parameters.
    """
    found = stages(model)
    ax = plt.subplots(figsize=(1.06 * len(found) + 0.2, 3.3))[1]
    for position, stage in enumerate(found):
        _block(ax, position, stage)
        text = {"ha": "center", "va": "top", "fontsize": 9}
        ax.text(position, 0.82, "×".join(map(str, stage.shape)), **text, weight="bold")
        if stage.parameters:
            ax.text(position, 0.69, short(stage.parameters), **text, color="#666666")
        ax.text(position, -0.58, "\n".join(stage.steps), **text, linespacing=1.25)
        if position:
            arrow = {"arrowstyle": "-|>", "color": FAINT, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (position - 0.4, 0), (position - 0.6, 0), arrowprops=arrow)
    deepest = max(len(stage.steps) for stage in found)
    ax.set(xlim=(-0.55, len(found) - 0.45), ylim=(-0.62 - 0.115 * deepest, 0.84))
    ax.set_title(f"{model.name}: {model.count_params():,} parameters")
    ax.set_axis_off()
    return ax


def _block(ax, position, stage):
    """Draw a box centred at (position, 0): front, top and side."""
    if len(stage.shape) == 3:
        height, depth = sqrt(stage.shape[0] / 96), 0.02 * log2(2 * stage.shape[2])
        width = height / 2
    else:
        height, depth, width = 0.08 * log2(2 * prod(stage.shape)), 0.03, 0.08
    x, y = position - (width + depth) / 2, -(height + depth) / 2
    front = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    top = [front[3], front[2], (x + width + depth, y + height + depth), (x + depth, y + height + depth)]
    side = [front[1], (x + width + depth, y + depth), top[2], front[2]]
    for face, shade in [(front, 1.0), (top, 1.12), (side, 0.82)]:
        colour = [min(1, part * shade) for part in to_rgb(COLOURS[stage.kind])]
        ax.add_patch(Polygon(face, facecolor=colour, edgecolor=INK, linewidth=0.6, joinstyle="round"))
