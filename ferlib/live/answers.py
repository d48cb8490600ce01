"""What is said about faces: one face, the faces of a photo, several photos, a film; as tables, too."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ferlib.labels import FerlibError

if TYPE_CHECKING:
    import pandas as pd

BOX = ("x", "y", "width", "height")
"""Columns of a box: left, top, width and height, pixels."""


@dataclass(frozen=True)
class Face:
    """One face in an image and what the network says about it.

    Attributes:
        box: Left, top, width and height in pixels of the image.
        probabilities: Emotion to calibrated probability, 0 to 1; they sum to one.
        number: Which face it is, from 1: the same in all frames of a film; in a photo by size, the largest
            first. None if nobody counted.
    """

    box: tuple[int, int, int, int]
    probabilities: dict[str, float]
    number: int | None = None

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """Probability of that emotion, 0 to 1."""
        return self.probabilities[self.emotion]

    def said(self, least: float = 0.0) -> str:
        """Return the emotion, or ``"unsure"`` where its probability is below the least that counts."""
        return self.emotion if self.confidence >= least else "unsure"

    def row(self) -> dict[str, object]:
        """Return the face as columns: number, box, emotion, confidence, probabilities."""
        known = {"face": self.number, **dict(zip(BOX, self.box, strict=True))}
        return {**known, "emotion": self.emotion, "confidence": self.confidence, **self.probabilities}


class Faces(list[Face]):
    """The faces of one photo, the largest first."""

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas table, one row a face.

        Returns:
            ``face``, ``x``, ``y``, ``width``, ``height``, ``emotion``, ``confidence``, then a column an
            emotion with its probability.

        Raises:
            FerlibError: pandas is not installed.
        """
        return _table(face.row() for face in self)


class Photos(list[Faces]):
    """The faces of several photos, in the order in which these were given.

    Attributes:
        names: Paths of the photos, or their numbers from 0 where pixels were given.
    """

    def __init__(self, faces: Iterable[Faces], names: Iterable[object]):
        super().__init__(faces)
        self.names = list(names)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas table, one row a face: ``photo``, then as `Faces.to_frame`."""
        pairs = zip(self.names, self, strict=True)
        return _table({"photo": name} | face.row() for name, people in pairs for face in people)


@dataclass(frozen=True)
class Moment:
    """One analysed frame of a film.

    Attributes:
        frame: Its position, from 0.
        seconds: Its time.
        faces: The faces in it, the largest first.
    """

    frame: int
    seconds: float
    faces: Faces


class Film(list[Moment]):
    """The analysed frames of a film, in order."""

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas table, one row a face and frame: ``frame``, ``seconds``, then as for `Faces`."""
        return _table(
            {"frame": moment.frame, "seconds": moment.seconds} | face.row()
            for moment in self
            for face in moment.faces
        )


def _table(rows: Iterable[dict[str, object]]) -> "pd.DataFrame":
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise FerlibError("tables need pandas: run pip install pandas, or read the list itself") from None
    return pd.DataFrame(list(rows))
