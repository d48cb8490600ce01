"""The experiment table: frozen rows that one function trains, and the scales they are trained at."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from ferlib.labels import TOP_FOUR, FerlibError


@dataclass(frozen=True)
class Experiment:
    """One row of the experiment table: a network, how it is trained, and what others report of it.

    Attributes:
        id: Name of the row and of its folder under ``runs/``.
        group: Heading of the row in the results table.
        title: What the row changes, for people.
        model: Key of ``models.MODELS``.
        switches: Arguments of the model's builder, as (name, value) pairs.
        policy: Key of ``augmentation.POLICIES``.
        strength: Factor on the policy's ranges.
        target: What is taught, and by what PublicTest judges: one of ``targets.TARGETS``.
        teachers: Another row, how many of its runs (seeds from 0) teach this one, too, the share that the
            mean of their answers has beside the target, and that row's `key`, so that this row becomes
            another where that one does; None teaches the target alone.
        classes: Classes that the network tells apart, the others are left out; None for all seven.
        optimizer: ``"adam"`` (AdamW where there is weight decay) or ``"sgd"`` (Nesterov momentum 0.9).
        learning_rate: Peak learning rate.
        schedule: ``"constant"``; ``"cosine"`` down to zero; ``"plateau"`` (halved whenever PublicTest
            accuracy has not risen for a third of the patience).
        warmup: Share of all steps over which a cosine schedule first rises linearly.
        weight_decay: Decoupled from the gradient (Loshchilov and Hutter 2019), on kernels only.
        batch_size: Images a step; the last step of an epoch takes the rest.
        epochs: Most epochs.
        patience: Stop after so many epochs without a better PublicTest accuracy; None never stops early.
        label_smoothing: Share of the target that goes to all classes evenly.
        ema: Decay of the exponential moving average of the weights, which is then what is evaluated and
            kept; 0 keeps the weights themselves. Short runs average over a tenth of their steps at most.
        precision: Keras dtype policy, such as ``"float32"``; ``"auto"`` takes the fastest that the device
            has, see ``machine.precision``, and the run's result names it.
        class_weights: Weight each image by the inverse frequency of its class.
        images: Training images, a stratified subset; None for all.
        valid_images: Likewise for PublicTest.
        reported: Test accuracy that earlier work reports, 0..1, or None.
        reported_note: Where and how it was measured, as far as known.
    """

    id: str
    group: str
    title: str
    model: str
    switches: tuple[tuple[str, object], ...] = ()
    policy: str = "none"
    strength: float = 1.0
    target: str = "label"
    teachers: tuple[str, int, float, str] | None = None
    classes: tuple[str, ...] | None = None
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 64
    epochs: int = 60
    patience: int | None = 10
    label_smoothing: float = 0.0
    ema: float = 0.0
    precision: str = "float32"
    class_weights: bool = False
    images: int | None = None
    valid_images: int | None = None
    reported: float | None = None
    reported_note: str = ""

    @property
    def frozen(self) -> bool:
        """Whether only the head on a pretrained backbone learns, from features computed once."""
        return dict(self.switches).get("trainable") == "head"


def key(experiment: Experiment) -> str:
    """Return eight hex digits that change with the row's fields.

    What a field names, a network or a policy, must stay what it was: another one gets another name.
    Names and notes don't count, nor do fields left at their default, so that a field may be added to the
    table without making every finished run a stranger.
    """
    described = {"id", "group", "title", "reported", "reported_note"}
    chosen = {
        f.name: getattr(experiment, f.name)
        for f in fields(Experiment)
        if f.name not in described and getattr(experiment, f.name) != f.default
    }
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]


PROFILES = ("quick", "full")
"""Scales at which rows are trained, the smaller first. A quick run shows in seconds that everything works."""

# Network: images and epochs of a quick row. They were measured: on two CPU cores such a row takes about seven
# seconds, tracing included.
QUICK = {
    "prior": (4096, 4),
    "logistic": (4096, 8),
    "shallow_cnn": (768, 5),
    "four_block_cnn": (256, 3),
    "deep_cnn": (640, 5),
    "lean_cnn": (384, 3),
    "residual_cnn": (64, 1),
    "mini_xception": (768, 5),
    "mobilenet": (256, 2),
    "mobilenet_scratch": (256, 2),
    "resnet50": (64, 1),
    "resnet50_scratch": (64, 1),
}
QUICK_HEAD = (512, 15)  # where only a head learns
QUICK_OTHER = (256, 2)  # of networks that nobody has measured
QUICK_VALID = 256  # images of PublicTest


# Recipes: what a row sets beside its network. Without one it is the naive recipe of most course reports:
# Adam at Keras' default learning rate, early stopping, nothing else.
AUGMENTED = {"policy": "standard"}
TUNED = {
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "schedule": "cosine",
    "warmup": 0.1,
    "weight_decay": 5e-3,  # decoupled: with momentum 0.9 about what 5e-4 on the gradient does
    "batch_size": 128,
    "patience": None,
    "label_smoothing": 0.1,
    "ema": 0.999,
}
SLOWER = TUNED | {"learning_rate": 0.03}
BOTH = TUNED | AUGMENTED
FINETUNED = BOTH | {"switches": (("trainable", "all"),), "learning_rate": 0.02, "epochs": 20}
FROZEN = {"switches": (("trainable", "head"),)}
SCRATCH = BOTH | {"epochs": 100}
BEST = BOTH | {"policy": "strong", "epochs": 200}
PAPER = AUGMENTED | {"schedule": "plateau", "epochs": 100, "patience": 30}
LEAN = BOTH | {"learning_rate": 0.08, "epochs": 100}
CROWD = {"label_smoothing": 0.0, "epochs": 60}

# Group and network.
SHALLOW = ("shallow CNN", "shallow_cnn")
FOUR_BLOCK = ("four-block CNN", "four_block_cnn")
DEEP = ("deep CNN", "deep_cnn")
MOBILENET = ("MobileNet", "mobilenet")
UNTRAINED_MOBILENET = ("MobileNet", "mobilenet_scratch")
RESNET = ("ResNet50", "resnet50")
PEOPLE = ("what ten people see", "lean_cnn")
LONGER = "search for the small network"
ABLATION = ("ablations of the deep CNN", "deep_cnn")


def _row(
    id: str, network: tuple[str, str], title: str, recipe: Mapping = {}, reported=None, note="", **changes
) -> Experiment:
    common = {"precision": "auto", "reported": reported, "reported_note": note}
    group, model = network
    return Experiment(id, group, title, model, **{**common, **recipe, **changes})


_ROWS = (
    _row("prior", ("baselines", "prior"), "majority class", epochs=10),
    _row("logistic", ("baselines", "logistic"), "logistic regression on pixels", learning_rate=1e-4),
    _row("shallow_plain", SHALLOW, "plain", reported=0.5631, note="no augmentation"),
    _row("shallow_augmented", SHALLOW, "augmented", AUGMENTED, note="training accuracy 49.95 % and 48.62 %"),
    _row("shallow_tuned", SHALLOW, "tuned recipe", SLOWER, 0.611, "no augmentation", epochs=40),
    _row("shallow_both", SHALLOW, "augmented and tuned", SLOWER | AUGMENTED, epochs=100),
    _row("four_block", FOUR_BLOCK, "few epochs", SLOWER | AUGMENTED, 0.60, epochs=20),
    _row("deep_plain", DEEP, "plain", reported=0.6555, note="training accuracy 82.52 %"),
    _row("deep_augmented", DEEP, "augmented", AUGMENTED),
    _row("deep_tuned", DEEP, "tuned recipe", TUNED, note="training accuracy 95.76 %", epochs=60),
    _row("deep_both", DEEP, "augmented and tuned", BOTH, 0.6862, "gap to validation 0.43 %", epochs=150),
    _row("mobilenet_frozen", MOBILENET, "frozen, bottleneck features + MLP", FROZEN, 0.5819),
    _row("mobilenet_finetuned", MOBILENET, "fine-tuned", FINETUNED),
    _row("mobilenet_top4", MOBILENET, "fine-tuned, top four classes", FINETUNED, 0.6736, classes=TOP_FOUR),
    _row("resnet50_frozen", RESNET, "frozen, bottleneck features + MLP", FROZEN),
    _row("resnet50_finetuned", RESNET, "fine-tuned", FINETUNED),
    _row("mini_xception", ("mini-Xception", "mini_xception"), "as its paper", PAPER, 0.66),
    _row("lean", ("no dense layers", "lean_cnn"), "small and fast", LEAN),
    _row("best", ("no dense layers", "residual_cnn"), "residual, strongly augmented", BEST),
    _row("deep_no_batch_norm", ABLATION, "no normalization", AUGMENTED, switches=(("batch_norm", False),)),
    _row("deep_no_dropout", ABLATION, "no dropout", AUGMENTED, switches=(("dropout", 0.0),)),
    *(
        _row(f"deep_batch_{size}", ABLATION, f"batch size {size}", AUGMENTED, batch_size=size)
        for size in (32, 128, 256, 512)  # deep_augmented has 64
    ),
    _row("deep_fixed_epochs", ABLATION, "no early stopping", AUGMENTED, patience=None),
    _row("deep_class_weights", ABLATION, "class weights", AUGMENTED, class_weights=True),
)
_FROM_SCRATCH = (
    _row("mobilenet_scratch", UNTRAINED_MOBILENET, "from random weights", SCRATCH),
    _row("mobilenet_top4_scratch", UNTRAINED_MOBILENET, "likewise, top four", SCRATCH, classes=TOP_FOUR),
    _row("resnet50_scratch", ("ResNet50", "resnet50_scratch"), "from random weights", SCRATCH),
)
_CROWD = (
    _row("lean_label", PEOPLE, "taught the labels as they are", LEAN | CROWD),
    _row("lean_cleaned", PEOPLE, "taught labels that no vote contradicts", LEAN | CROWD, target="cleaned"),
    _row("lean_majority", PEOPLE, "taught the emotion with most votes", LEAN | CROWD, target="majority"),
    _row("lean_crowd", PEOPLE, "taught the shares of votes", LEAN | CROWD, target="crowd"),
    _row("best_crowd", (PEOPLE[0], "residual_cnn"), "residual", BEST | CROWD, epochs=120, target="crowd"),
)
_SMALL = tuple(row for row in (*_CROWD, *_ROWS) if row.id in ("lean", "lean_crowd"))
# Again, half of what is taught being the answers of three of its kind (Hinton et al. 2015, arXiv:1503.02531).
_DISTILLED = tuple(
    replace(
        row,
        id=f"{row.id}_distilled",
        title=f"{row.title}; three of its kind teach it, too",
        teachers=(row.id, 3, 0.5, key(row)),
    )
    for row in _SMALL
)
# On the way to a better small network, whatever it is taught: longer, then also with more augmentation.
_LONGER = tuple(
    replace(row, id=f"{row.id}_{id}", group=LONGER, title=f"{row.title}, {title}", **change)
    for row in _SMALL
    for id, title, change in (
        ("long", "200 epochs", {"epochs": 200}),
        ("strong", "200 epochs, strongly augmented", {"epochs": 200, "policy": "strong"}),
    )
)

EXPERIMENTS: dict[str, Experiment] = {
    row.id: row for row in _ROWS + _CROWD + _DISTILLED + _FROM_SCRATCH + _LONGER
}
"""Every row by its name. Figures reported elsewhere are of course reports and papers that trained once."""

TABLE = tuple(row.id for row in _ROWS)
"""The rows that are taught and judged by labels, in the order of the results table."""

CROWD_TABLE = tuple(row.id for row in _CROWD)
"""The rows of the chapter on what ten people see; ``--all`` trains them after the others."""

WITHOUT_WEIGHTS = {
    row.id: f"{row.id.partition('_')[0]}{'_top4' if row.classes else ''}_scratch"
    for row in _ROWS
    if row.model in ("mobilenet", "resnet50")
}
"""What runs, under its own name, where a row's ImageNet weights can't be had."""


def find(id: str) -> Experiment:
    """Return a row by its name.

    Raises:
        FerlibError: No row has that name.
    """
    if id not in EXPERIMENTS:
        raise FerlibError(f"there is no experiment {id!r}; choose from {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[id]


def at(experiment: Experiment, profile: str) -> Experiment:
    """Return a row scaled to a profile: what will really run.

    Raises:
        FerlibError: There is no such profile.
    """
    if profile not in PROFILES:
        raise FerlibError(f"there is no profile {profile!r}; choose from {', '.join(PROFILES)}")
    if profile == "full":
        return experiment
    images, most = QUICK_HEAD if experiment.frozen else QUICK.get(experiment.model, QUICK_OTHER)
    epochs = min(experiment.epochs, most)
    patience, batch = experiment.patience, experiment.batch_size
    if patience is not None and epochs < experiment.epochs:
        patience = max(3, round(patience * epochs / experiment.epochs))
    if experiment.schedule == "cosine":
        # A schedule needs steps, so few images go in small batches, the learning rate in proportion
        # (Goyal et al. 2017, "Accurate, large minibatch SGD").
        batch = min(batch, max(16, images * epochs // 48))
    return replace(
        experiment,
        images=min(images, experiment.images or images),
        valid_images=min(QUICK_VALID, experiment.valid_images or QUICK_VALID),
        epochs=epochs,
        patience=patience,
        batch_size=batch,
        learning_rate=experiment.learning_rate * (batch / experiment.batch_size),
        precision="float32",
    )


def describe() -> str:
    """List all rows with what others report of them, one a line."""
    lines = []
    for row in EXPERIMENTS.values():
        reported = f" (reported elsewhere: {row.reported:.2%})" if row.reported else ""
        lines.append(f"{row.id:24}{row.group}: {row.title}{reported}")
    return "\n".join(lines)
