"""The one way from whatever people call a picture to its pixels: arrays, lists, images of Pillow."""

import numpy as np

from ferlib.labels import FerlibError

DARKEST = 16
"""Brightest float from which a picture counts from 0 to 255 for sure; one that counts from 0 to 1 may reach a
little beyond 1 after it was resized, and would become black."""

ORDERS = ("rgb", "bgr")
"""Orders of colours that pictures come in: Pillow, scikit-image and imageio give rgb, OpenCV gives bgr."""


def as_bytes(image) -> np.ndarray:
    """Return a picture as uint8 (height, width) or (height, width, 3), its colours in their order.

    Args:
        image: (height, width) or (height, width, 1, 3 or 4): an array or nested list of numbers as for
            `eight_bit`; or an image of Pillow in any mode, which its EXIF data may turn upright.

    Raises:
        FerlibError: It is no picture, or its values are no pixels.
    """
    image = _from_pillow(image) if is_pillow(image) else np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or image.size == 0:
        wanted = "pass (height, width) or (height, width, 3), several pictures as a list"
        raise FerlibError(f"an array of shape {image.shape} is no picture: {wanted}")
    image = eight_bit(image)
    if image.ndim == 3 and image.shape[2] == 4:
        return np.ascontiguousarray(image[:, :, :3])
    return image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image


def in_colour(image, order: str = "rgb") -> np.ndarray:
    """Return a picture of any kind as OpenCV wants it: uint8 (height, width, 3), blue, green, red.

    Args:
        image: As for `as_bytes`.
        order: ``"rgb"`` or ``"bgr"``: which colour comes first. Images of Pillow know it themselves.

    Raises:
        FerlibError: As for `as_bytes`, or there is no such order.
    """
    if order not in ORDERS:
        raise FerlibError(f"there is no order of colours {order!r}: use {' or '.join(ORDERS)}")
    picture = as_bytes(image)
    if picture.ndim == 2:
        return np.repeat(picture[..., np.newaxis], 3, axis=2)
    swapped = order == "rgb" or is_pillow(image)
    return np.ascontiguousarray(picture[..., ::-1]) if swapped else picture


def eight_bit(values) -> np.ndarray:
    """Return pixels as uint8, whatever they are counted in.

    Args:
        values: uint8; uint16, from 0 to 65535, or to 255; other whole numbers, from 0 to 255; float, from 0
            to 1 or from 0 to 255. Others raise a `FerlibError`, for they would become other pixels silently.
    """
    values = np.asarray(values)
    if values.dtype == np.uint8:
        return values
    if values.size == 0:
        return values.astype(np.uint8)
    kind = values.dtype.kind
    low, high = (values.min(), values.max()) if kind in "iuf" else (-1, -1)
    if values.dtype == np.uint16 and high > 255:  # else it is 8 bits in a wider type, for it would be black
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind == "f" and 0 <= low <= high <= 1:
        return np.rint(values * 255).astype(np.uint8)
    sure = kind in "iu" or high > DARKEST or (kind == "f" and bool((values == np.rint(values)).all()))
    if sure and 0 <= low <= high <= 255:
        return np.rint(values).astype(np.uint8)
    reach = f" from {low:g} to {high:g}" if kind in "iuf" else ""
    wanted = "pass uint8, uint16, whole numbers from 0 to 255, or float from 0 to 1"
    raise FerlibError(f"pixels of type {values.dtype}{reach} are not understood: {wanted}")


def is_pillow(image) -> bool:
    """Say whether something is an image of Pillow, without loading Pillow."""
    return all(hasattr(image, name) for name in ("mode", "getexif", "convert"))


def _from_pillow(image) -> np.ndarray:
    """Return an image of Pillow upright: (height, width) grey, or (height, width, 3) red, green, blue."""
    from PIL import ImageOps  # whoever has such an image has Pillow

    try:
        image = ImageOps.exif_transpose(image)
        image.load()
    except Exception as error:  # decoders raise errors of many kinds
        raise FerlibError(f"an image of Pillow that cannot be read ({error!r:.90}): open it anew") from None
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        values = np.asarray(image)
        deep = image.mode.startswith("I") and values.size and 255 < values.max() <= 65535
        return values.astype(np.uint16) if deep or image.mode.startswith("I;16") else values
    return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def jpeg_pixels(content: bytes | memoryview) -> int:
    """Return the number of pixels that the header of a JPEG file announces, 0 for any other file.

    Args:
        content: The file, bytes or a memoryview of them.

    Source:
        ITU-T T.81, annex B: segments of marker and length; a frame header is C0 to CF but C4, C8 and CC.
    """
    if bytes(content[:2]) != b"\xff\xd8":
        return 0
    position = 2
    while position + 9 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # a fill byte, any number of which may precede a marker
            position += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = content[position + 5 : position + 7], content[position + 7 : position + 9]
            return int.from_bytes(height, "big") * int.from_bytes(width, "big")
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return 0
