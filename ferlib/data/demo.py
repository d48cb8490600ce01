"""The demo data set: drawn faces in place of FER-2013, so that everything runs and is tested without it.

It contains a few planted copies and blank images, so that an audit has a ground truth to be tested against.
A face is drawn from a few muscle parameters, which move its parts towards the wanted emotion, more or less
strongly, and is seen under random pose, light, blur and noise.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np

from ferlib.labels import CLASSES, IMAGE_SIZE, KAGGLE_SPLITS

VERSION = 1
"""Raised whenever the drawn faces change, so that cached ones are drawn anew."""

SIZES, SMALLEST = (2800, 350, 350), 70
"""Faces in train, valid and test, 80:10:10 as in FER-2013; least in a split, so that every class occurs."""

SHARES = np.array([4953, 547, 5121, 8989, 6077, 4002, 6198]) / 35887
"""Share of each class in FER-2013, in code order: the imbalance that the demo faces copy."""

PLANTED_COPIES, PLANTED_MIRRORED = 4, 3
"""The first so many faces of valid and of test are exact copies of faces of train, the next so many mirrored
and brightened ones."""

PLANTED_CONFLICTS, PLANTED_BLANKS = 2, 2
"""The first so many faces of train stand there once more under another label; its last are one flat grey."""

EXPRESSIONS = np.array(
    [
        # brow_inner, brow_outer, eye_open, mouth_curve, mouth_width, mouth_open, nose_wrinkle
        [-1.0, 0.4, -0.1, -0.5, -0.1, 0.15, 0.3],  # angry: brows down and together, lips tight
        [-0.6, -0.2, -0.5, -0.5, 0.1, 0.25, 1.0],  # disgust: nose wrinkled, upper lip raised
        [0.9, 0.1, 0.8, -0.3, 0.5, 0.4, 0.0],  # fear: inner brows up, eyes wide, mouth stretched
        [0.1, 0.1, -0.3, 1.0, 0.7, 0.35, 0.1],  # happy: corners of the mouth and cheeks raised
        [0.7, -0.6, -0.4, -0.8, -0.2, 0.0, 0.0],  # sad: brows slanting, lids and mouth drooping
        [0.9, 0.9, 1.0, 0.0, -0.5, 0.9, 0.0],  # surprise: brows and lids up, jaw dropped
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # neutral: at rest
    ]
)
"""Mean muscle parameters, one row a class in code order, about -1..1; after Ekman and Friesen (1978)."""

_REPLACED = max(2 * PLANTED_CONFLICTS, PLANTED_COPIES + PLANTED_MIRRORED)  # faces whose labels may change
_PIXELS = 3 * IMAGE_SIZE  # drawn three times larger than wanted, which gives soft edges
_FRACTION_BITS = 4  # cv2 takes coordinates in sixteenths of a pixel


class Faces(NamedTuple):
    """Labelled images of all splits, in no particular order.

    Attributes:
        images: uint8 (n, 48, 48, 1).
        labels: int64 (n,), position in ``CLASSES``.
        splits: int64 (n,), position in ``SPLITS``.
        names: str (n,), file name without folder.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    names: np.ndarray


def faces(sizes: tuple[int, int, int] = SIZES, seed: int = 0) -> Faces:
    """Draw a labelled data set with the imbalance of FER-2013 and a few planted flaws.

    Args:
        sizes: Images in train, valid and test; at least ``SMALLEST`` each, so that every class occurs.
        seed: The same seed draws the same pixels.
    """
    if min(sizes) < SMALLEST:
        raise ValueError(f"a split of {min(sizes)} demo faces cannot hold every class: ask for {SMALLEST}")
    labels = [_labels(size, np.random.default_rng([seed, split])) for split, size in enumerate(sizes)]
    labels = np.concatenate(labels)
    images = np.stack([face(label, np.random.default_rng([seed, 3, n])) for n, label in enumerate(labels)])
    _plant(images, labels, np.cumsum([0, *sizes[:2]]))
    names = [
        f"{use}_{n:08d}.jpg" for use, size in zip(KAGGLE_SPLITS, sizes, strict=True) for n in range(size)
    ]
    return Faces(images[..., np.newaxis], labels, np.repeat(np.arange(3), sizes), np.array(names))


def _labels(size: int, generator: np.random.Generator) -> np.ndarray:
    """Return shuffled labels in FER-2013's shares, every class at least once."""
    edges = np.rint(np.cumsum(SHARES) * size).astype(int)
    labels = np.repeat(np.arange(len(CLASSES)), np.diff(edges, prepend=0))
    generator.shuffle(labels)
    while len(set(labels[_REPLACED:])) < len(CLASSES):  # planting would take the last face of a class away
        generator.shuffle(labels)
    return labels


def _plant(images: np.ndarray, labels: np.ndarray, starts: np.ndarray) -> None:
    """Plant copies between splits, conflicting labels and blanks, in place."""
    for n in range(PLANTED_CONFLICTS):
        images[PLANTED_CONFLICTS + n] = images[n]
        labels[PLANTED_CONFLICTS + n] = (labels[n] + 1) % len(CLASSES)
    source = 2 * PLANTED_CONFLICTS
    for start in starts[1:]:
        for n in range(PLANTED_COPIES + PLANTED_MIRRORED):
            copy = images[source] if n < PLANTED_COPIES else cv2.add(cv2.flip(images[source], 1), 12)
            images[start + n], labels[start + n] = copy, labels[source]
            source += 1
    images[starts[1] - PLANTED_BLANKS : starts[1]] = np.array([128, 10])[:, np.newaxis, np.newaxis]


def votes(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw what ten people see in drawn faces: mostly the label, in three of ten faces mostly something else.

    Returns:
        uint8 (n, 10), ten votes a row; the seven emotions, then contempt, unknown and no face.
    """
    generator, everyone = np.random.default_rng([seed, 4]), np.arange(len(labels))
    other = generator.integers(0, len(CLASSES), len(labels))
    shares = np.full((len(labels), len(CLASSES) + 3), 0.02)
    shares[everyone, np.where(generator.random(len(labels)) < 0.7, labels, other)] = 0.82
    return generator.multinomial(10, shares).astype(np.uint8)


def write_zip(drawn: Faces, path: Path) -> Path:
    """Write faces as Kaggle's ``archive.zip``: ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``."""
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in _jpegs(drawn):
            archive.writestr(member, content)
    return path


def write_folders(drawn: Faces, folder: Path) -> Path:
    """Write faces as the unpacked archive: folders ``train/<class>/`` and ``test/<class>/``."""
    for member, content in _jpegs(drawn):
        (folder / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / member).write_bytes(content)
    return folder


def write_csv(drawn: Faces, path: Path) -> Path:
    """Write faces as ``fer2013.csv``, with the pixels that a reader of their JPEG files would see."""
    with path.open("w", encoding="ascii") as file:
        file.write("emotion,pixels,Usage\n")
        for (_, content), label, split in zip(_jpegs(drawn), drawn.labels, drawn.splits, strict=True):
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            file.write(f"{label},{' '.join(map(str, image.ravel()))},{tuple(KAGGLE_SPLITS)[split]}\n")
    return path


def _jpegs(drawn: Faces) -> Iterator[tuple[str, bytes]]:
    """Yield path inside Kaggle's layout and JPEG bytes of each face."""
    for image, label, split, name in zip(*drawn, strict=True):
        content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        yield f"{'test' if split else 'train'}/{CLASSES[label]}/{name}", content


def face(emotion: int, generator: np.random.Generator) -> np.ndarray:
    """Draw one face that shows an emotion, a position in ``CLASSES``: uint8 (48, 48), grey."""
    strength = generator.uniform(0.25, 1.1)  # weak expressions look like neutral, as in real life
    muscles = EXPRESSIONS[emotion] * strength + generator.normal(0, 0.16, EXPRESSIONS.shape[1])
    person, canvas = _person(generator), _Canvas(generator)
    _draw_head(canvas, person, max(muscles[5], 0))
    _draw_eyes(canvas, person, muscles, generator.normal(0, 0.02, 2))
    _draw_nose(canvas, person, muscles)
    _draw_mouth(canvas, person, muscles)
    return _photograph(canvas.pixels, generator)


def _person(generator: np.random.Generator) -> SimpleNamespace:
    """Draw somebody's looks; lengths in half frame widths, greys 0..255."""
    between, skin = generator.uniform, generator.uniform(75, 225)
    return SimpleNamespace(
        skin=skin,
        hair=between(15, min(skin - 25, 120)) if generator.random() < 0.8 else 190,
        width=between(0.68, 0.84),
        jaw=between(0.55, 0.95),
        eye_distance=between(0.31, 0.38),
        eye_size=between(0.15, 0.19),
        brow_thickness=between(0.03, 0.075),
        nose_width=between(0.12, 0.19),
        nose_length=between(0.17, 0.27),
        mouth_size=between(0.25, 0.32),
        hair_length=between(-0.4, 1.2),
        age=between(0, 1),
        beard=generator.random() < 0.15,
        glasses=generator.random() < 0.1,
    )


class _Canvas:
    """A grey image that is drawn on in face coordinates: x right, y down, -1..1 over the frame."""

    def __init__(self, generator: np.random.Generator):
        angle, size = np.radians(generator.normal(0, 7)), generator.uniform(0.88, 1.1)
        self.turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * size
        self.shift = generator.normal(0, 0.05, 2)
        self.yaw = generator.normal(0, 0.1)
        self.pixels = np.full((_PIXELS, _PIXELS), generator.uniform(20, 235), np.uint8)

    def _place(self, points: np.ndarray, depth: float) -> np.ndarray:
        moved = (points + [self.yaw * depth, 0]) @ self.turn.T + self.shift
        return np.rint((moved + 1) * (_PIXELS / 2) * 2**_FRACTION_BITS).astype(np.int32)

    def fill(self, points: np.ndarray, grey: float, depth: float = 1) -> None:
        """Fill a polygon; ``depth`` says how far it moves when the head turns."""
        cv2.fillPoly(self.pixels, [self._place(points, depth)], float(grey), cv2.LINE_AA, _FRACTION_BITS)

    def line(self, points: np.ndarray, grey: float, width: float, depth: float = 1) -> None:
        """Draw an open line ``width`` half frame widths thick."""
        thickness = max(1, round(width * _PIXELS / 2))
        placed = [self._place(points, depth)]
        cv2.polylines(self.pixels, placed, False, float(grey), thickness, cv2.LINE_AA, _FRACTION_BITS)


def _oval(x: float, y: float, width: float, height: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1)


def _bow(x: float, y: float, width: float, height: float) -> np.ndarray:
    """Points from left to right on a parabola; a positive height sags in the middle."""
    along = np.linspace(-1, 1, 11)
    return np.stack([x + width * along, y + height * (1 - along**2)], axis=1)


def _draw_head(canvas: _Canvas, person: SimpleNamespace, jaw_drop: float) -> None:
    canvas.fill(_oval(0, -0.25, person.width + 0.16, 0.95), person.hair, 0.2)
    sides = [[-1.0, -0.3], [1.0, -0.3], [1.0, person.hair_length], [-1.0, person.hair_length]]
    canvas.fill(np.array(sides) * [person.width + 0.12, 1], person.hair, 0.2)
    neck = np.array([[-0.4, 0.6], [0.4, 0.6], [0.5, 1.6], [-0.5, 1.6]])
    canvas.fill(neck, person.skin * 0.72, 0.3)
    for side in (-1, 1):
        canvas.fill(_oval(side * person.width, -0.05, 0.09, 0.2), person.skin * 0.85, 0.2)
    head = _oval(0, 0, person.width, 0.95 + 0.1 * jaw_drop)
    lower = np.clip(head[:, 1], 0, None)
    head[:, 0] *= 1 - 0.35 * (1 - person.jaw) * lower
    head[:, 1] *= np.where(head[:, 1] < 0, 0.9, 1.02)
    canvas.fill(head, person.skin, 0.4)
    fringe = np.concatenate(
        [_bow(0, -0.62, person.width, -0.3), [[person.width, -1.3], [-person.width, -1.3]]]
    )
    canvas.fill(fringe, person.hair, 0.4)
    if person.beard:
        chin = head[head[:, 1] > 0.25]
        inner = _bow(0, 0.3, person.width * 0.75, 0.1)
        canvas.fill(np.concatenate([chin, inner]), person.skin * 0.45 + person.hair * 0.2, 0.4)


def _draw_eyes(canvas: _Canvas, person: SimpleNamespace, muscles: np.ndarray, gaze: np.ndarray) -> None:
    inner, outer, opening = muscles[:3]
    height = person.eye_size * np.clip(0.42 + 0.3 * opening, 0.06, 0.85)
    for side in (-1, 1):
        x, y, half = side * person.eye_distance, -0.2, person.eye_size
        canvas.fill(_oval(x, y - 0.02, half * 1.25, half * 0.8), person.skin * 0.86)
        upper, lower = _bow(x, y, half, -height * 1.15), _bow(x, y, half, height * 0.75)
        almond = np.concatenate([upper, lower[::-1]])
        canvas.fill(almond, min(245, person.skin * 0.4 + 150))
        iris = _oval(x + gaze[0], y - height * 0.15 + gaze[1], half * 0.45, half * 0.45)
        iris[:, 1] = np.clip(iris[:, 1], y - height * 1.05, y + height * 0.7)
        canvas.fill(iris, 25)
        canvas.line(upper, person.skin * 0.25, 0.035)
        canvas.line(lower, person.skin * 0.6, 0.02)
        if opening < 0 or person.age > 0.6:
            canvas.line(_bow(x, y + 0.1, half * 0.9, 0.06), person.skin * 0.78, 0.02)
        if person.glasses:
            frame = _oval(x, y + 0.02, half * 1.6, half * 1.3)
            canvas.line(np.concatenate([frame, frame[:1]]), 30, 0.03, 1.2)
        along = np.linspace(0, 1, 9)  # from the nose outwards
        rise = inner * (1 - along) + outer * along + 0.9 * np.sin(along * np.pi) * (1 - 0.4 * abs(inner))
        brow_x = side * (person.eye_distance - 0.19 + 0.05 * inner + 0.42 * along)
        brow = np.stack([brow_x, -0.42 - 0.105 * rise], axis=1)
        canvas.line(brow, min(person.hair, person.skin * 0.5), person.brow_thickness)


def _draw_nose(canvas: _Canvas, person: SimpleNamespace, muscles: np.ndarray) -> None:
    inner, outer, wrinkle = muscles[0], muscles[1], muscles[6]
    tip = 0.02 + person.nose_length - 0.05 * wrinkle
    dark, shade = person.skin * 0.45, person.skin * 0.8
    width = person.nose_width * (1 + 0.25 * max(wrinkle, 0))
    canvas.line(np.array([[0.07, -0.3], [0.06, -0.05], [width * 0.8, tip - 0.06]]), shade, 0.04, 1.3)
    canvas.fill(_oval(0, tip - 0.03, width * 0.7, 0.075), min(255, person.skin * 1.08), 1.5)
    for side in (-1, 1):
        canvas.fill(_oval(side * width * 0.55, tip + 0.02, width * 0.3, 0.028), dark, 1.4)
        canvas.line(_bow(side * width, tip - 0.01, 0.02, 0.05), person.skin * 0.6, 0.025, 1.4)
        if wrinkle > 0.3:
            for level in range(3):
                ends = [[side * 0.03, -0.12 + 0.07 * level], [side * 0.13, -0.17 + 0.07 * level]]
                canvas.line(np.array(ends), person.skin * (0.85 - 0.25 * wrinkle), 0.025, 1.2)
    if inner < -0.3:
        for side in (-1, 1):
            canvas.line(np.array([[side * 0.06, -0.5], [side * 0.05, -0.33]]), person.skin * 0.62, 0.03, 1.1)
    if inner + outer > 0.8:
        for level in range(2):
            canvas.line(_bow(0, -0.68 - 0.09 * level, 0.4, -0.03), person.skin * 0.78, 0.025)


def _draw_mouth(canvas: _Canvas, person: SimpleNamespace, muscles: np.ndarray) -> None:
    curve, stretch, opening, wrinkle = muscles[3:7]
    half = person.mouth_size * (1 + 0.28 * stretch)
    opening = max(opening, 0.0) * 0.26
    y = 0.54 + 0.05 * curve
    bend = 0.17 * curve  # how far the middle hangs below the corners
    lip = person.skin * 0.62
    top = _bow(0, y, half, bend - opening * 0.45 - 0.05 * wrinkle)
    bottom = _bow(0, y, half, bend + opening)
    canvas.fill(np.concatenate([top - [0, 0.045], (bottom + [0, 0.06])[::-1]]) * [0.97, 1], lip, 1.2)
    canvas.fill(np.concatenate([top, bottom[::-1]]), 20, 1.2)
    if opening > 0.06:
        teeth = np.minimum(top + [0, 0.07], (top + bottom) / 2 + [0, 0.01])
        canvas.fill(np.concatenate([top, teeth[::-1]])[1:-1] * [0.9, 1], 225, 1.2)
    canvas.line(top, person.skin * 0.25, 0.025, 1.2)
    corner = np.array([[half, y - 0.02 * np.sign(curve)], [half + 0.04, y - 0.07 * curve]])
    fold = np.array([[person.nose_width + 0.06, 0.22], [half + 0.09, y - 0.08], [half + 0.06, y + 0.08]])
    depth = max(curve, wrinkle, 0.4 * person.age)
    for side in (-1, 1):
        canvas.line(corner * [side, 1], person.skin * 0.4, 0.03, 1.2)
        if depth > 0.2:
            canvas.line(fold * [side, 1], person.skin * (0.92 - 0.25 * min(depth, 1)), 0.03, 1.1)


def _photograph(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Light, shrink, blur and add noise: drawn pixels to uint8 (48, 48)."""
    small = cv2.resize(pixels, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), generator.uniform(0.3, 0.95))
    across, down = np.meshgrid(np.linspace(-1, 1, IMAGE_SIZE), np.linspace(-1, 1, IMAGE_SIZE))
    direction = generator.normal(0, 0.25, 2)
    light = np.clip(1 + direction[0] * across + direction[1] * down, 0.35, 1.6)
    centre = 1.1 - 0.25 * (across**2 + 0.7 * down**2)  # a head is round: its rim is darker
    contrast, brightness = generator.uniform(0.55, 1.1), generator.normal(0, 18)
    small = (small * light * centre - 110) * contrast + 115 + brightness
    small += generator.normal(0, generator.uniform(2, 9), small.shape)
    return np.clip(small, 0, 255).astype(np.uint8)
