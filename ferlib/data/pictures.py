"""Decodes one image of a data set, refusing what is damaged, oversized or of another kind."""

import io
import warnings

import cv2
import numpy as np
from PIL import Image

from ferlib.labels import IMAGE_SIZE, FerlibError
from ferlib.pixels import jpeg_pixels

MOST_BYTES = 32 * 2**20
"""Size of a picture's file that is read at most; FER-2013's have 2 kB."""

MOST_PIXELS = 50_000_000
"""Pixels that a picture's header may announce, so that a small file cannot fill the memory."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def grey(content: bytes, where: str, any_size: bool = False) -> np.ndarray:
    """Decode an image.

    A JPEG carries no checksum: changed bytes in it that still decode are taken as they are.

    Args:
        content: The file.
        where: Its name, for messages.
        any_size: Convert pictures of another size or in colour, instead of refusing them.

    Returns:
        uint8 (48, 48), grey.

    Raises:
        FerlibError: It is no image, cut off, damaged, too large, or not 8-bit grey of 48x48 pixels.
    """
    if len(content) > MOST_BYTES:
        raise FerlibError(f"{where}: has {len(content):,} bytes, more than {MOST_BYTES:,}; shrink it.")
    if content.startswith(b"\xff\xd8") and b"\xff\xd9" not in content[-32:]:
        raise FerlibError(f"{where}: the JPEG is cut off; replace the file.")
    if _announced(content, where) > MOST_PIXELS:
        raise FerlibError(f"{where}: announces more than {MOST_PIXELS:,} pixels; shrink or remove it.")
    flag = cv2.IMREAD_GRAYSCALE if any_size else cv2.IMREAD_UNCHANGED
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except cv2.error:
        image = None
    if image is None:
        raise _unreadable(where)
    if any_size:
        return cv2.resize(image, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA)
    if image.shape != (IMAGE_SIZE, IMAGE_SIZE) or image.dtype != np.uint8:
        kind = "grey" if image.ndim == 2 else "colour"
        raise FerlibError(
            f"{where}: is a {8 * image.itemsize}-bit {kind} image of {image.shape[1]}x{image.shape[0]} "
            f"pixels; FER-2013 has 8-bit grey ones of {IMAGE_SIZE}x{IMAGE_SIZE}, so convert it."
        )
    return image


def _announced(content: bytes, where: str) -> int:
    """Return the number of pixels that a header announces, checking what checksums the format has."""
    if content.startswith(b"\xff\xd8"):
        if pixels := jpeg_pixels(content):
            return pixels
        raise _unreadable(where)
    try:
        with warnings.catch_warnings(action="ignore"):
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
            image.verify()
        return image.width * image.height
    except Image.DecompressionBombError:
        return MOST_PIXELS + 1
    except Exception as problem:  # a damaged picture raises errors of many kinds
        raise _unreadable(where) from problem


def _unreadable(where: str) -> FerlibError:
    return FerlibError(f"{where}: cannot be read as an image; replace or remove the file.")
