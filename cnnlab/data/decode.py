"""A picture file as an array: whatever its colours and depth, refused in one line where damaged.

Training data and the pictures that a run classifies are decoded by the same functions, so that a
model sees them alike.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from cnnlab.errors import CnnlabError

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Pillow's names of the formats that are read; others (EPS starts a program) are not looked at."""

MAX_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded: a few kilobytes can announce gigabytes."""

Size = int | Sequence[int]
"""A side, or `(height, width)`."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class PictureError(CnnlabError):
    """A file that holds no picture that can be read; the message is the end of a sentence."""


def open_picture(
    source: Path | str | bytes, *, near: tuple[int, int] | None = None
) -> "PIL.Image.Image":
    """A Pillow image, decoded whole and upright (EXIF), of a file or of its content.

    The first picture of a file that holds several; `open_picture(...).info["frames"]` says whether
    there are more, `info["full"]` the `(height, width)` that the file holds.

    **Arguments:** `near`, `(height, width)` to which it will be brought: a JPEG at least twice as
    large in both is decoded at the half, quarter or eighth that is still so, which saves most of
    the work (its blocks are transforms of 8 x 8 pixels).

    **Raises:** `PictureError`: no picture of `FORMATS`, damaged, or of more than `MAX_PIXELS`.
    `OSError`: it can't be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError
    from PIL.ExifTags import Base
    from PIL.TiffImagePlugin import TiffImageFile

    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        try:
            image = Image.open(file, formats=formats)
            if 0 < image.width * image.height <= MAX_PIXELS:
                several = image.format != "MPO" and getattr(image, "is_animated", False)
                turn = image.getexif().get(Base.Orientation, 1)
                lies = turn in (5, 6, 7, 8)  # a quarter turn: its rows are stored as columns
                full = image.size if lies else image.size[::-1]
                if near is not None and image.format == "JPEG":
                    aim = [2 * side for side in (near if lies else near[::-1])]
                    image.draft(None, (aim[0], aim[1]))
                image.load()
                tags = dict(image.tag_v2) if isinstance(image, TiffImageFile) else {}
                about = {"frames": several, "tags": tags, "format": image.format, "full": full}
                image.info |= about
                if turn != 1:
                    ImageOps.exif_transpose(image, in_place=True)
                return image
        except Image.DecompressionBombError as error:
            raise PictureError(f"has more than {MAX_PIXELS:,} pixels") from error
        except UnidentifiedImageError as error:
            raise PictureError(
                f"is not a picture that can be read (of {', '.join(FORMATS)})"
            ) from error
        except Exception as error:  # decoders raise whatever a damaged file makes them run into
            reason = " ".join(str(error).split()) or type(error).__name__
            raise PictureError(f"is not a picture that can be read: damaged ({reason})") from error
    raise PictureError(f"has {image.width} x {image.height} pixels: expected 1 to {MAX_PIXELS:,}")


def white_of(image: "PIL.Image.Image") -> int | None:
    """The value of white in a picture deeper than 8 bits, as its file says; None if it does not.

    PNG, PGM and JPEG 2000 use the whole range of 16 bits (Pillow stretches fewer bits to it). A
    TIFF's integers reach to `2^BitsPerSample - 1`, or to a MaxSampleValue that says fewer bits.
    Floats, signed integers and those of 32 bits have no white of their own.
    """
    if image.info["format"] != "TIFF":
        return None if image.mode == "F" else 65535
    tags = image.info["tags"]
    bits, kind, largest = (_number(tags, tag) for tag in (258, 339, 281))
    if kind not in (None, 1) or not bits or bits > 16:
        return None
    declared = [2**n - 1 for n in range(8, bits + 1)]
    return largest if largest in declared else 2**bits - 1


def _number(tags: Mapping[int, object], tag: int) -> int | None:
    """The first number under a tag of a TIFF, or None."""
    value = tags.get(tag)
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else None


def is_deep(image: "PIL.Image.Image") -> bool:
    """Whether a picture has one channel of more than 8 bits."""
    return image.mode.startswith(("I", "F"))


def to_array(
    image: "PIL.Image.Image", channels: int, *, high: int = 255, white: float | int | None = None
) -> Shaped[np.ndarray, "h w c"]:
    """What `open_picture` gave, as `(h, w, channels)` with white at `high`.

    Transparency is laid over white where there is no fourth channel to keep it. uint8 where `high`
    is at most 255, else float32. `white` is the value of white in a deep grey picture where it is
    another than `white_of`, and must be given where that is None.

    **Raises:** `PictureError` when white is not known, or the colours can't be converted.
    """
    if channels not in _MODES:
        raise PictureError(f"can be had with 1, 3 or 4 channels, expected {channels}")
    if is_deep(image):
        scaled = np.repeat(_deep(image, white, high)[..., None], channels, axis=-1)
        if channels == 4:
            scaled[..., 3] = high
    else:
        values = to_pixels(_shallow(image, channels))
        if high == 255:
            return values
        scaled = values * np.float32(high / 255)
    return np.rint(scaled).astype(np.uint8) if high <= 255 else scaled


def to_pixels(image: "PIL.Image.Image") -> UInt8[np.ndarray, "h w c"]:
    """The values of a Pillow image of 8 bits."""
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def to_plain(
    image: "PIL.Image.Image", channels: int, *, white: float | int | None = None
) -> "PIL.Image.Image":
    """What `to_array` gives, as a Pillow image of 8 bits (`L`, `RGB`).

    **Raises:** `PictureError`, as `to_array`.
    """
    from PIL import Image

    if not is_deep(image):
        return _shallow(image, channels)
    array = to_array(image, channels, white=white)
    return Image.fromarray(array[..., 0] if channels == 1 else array)


def _shallow(image: "PIL.Image.Image", channels: int) -> "PIL.Image.Image":
    from PIL import Image

    try:
        if channels < 4 and (image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or _keyed(image)):
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        if image.mode == _MODES[channels]:  # nor copied
            return image
        if image.mode not in ("1", "L"):
            image = image.convert("RGBA" if channels == 4 else "RGB")
        return image.convert(_MODES[channels])
    except ValueError as error:
        raise PictureError(f"has colours that can't be converted: {image.mode}") from error


def _keyed(image: "PIL.Image.Image") -> bool:
    """Whether a colour, or entries of the palette, stand for transparency."""
    return "transparency" in image.info


def _deep(
    image: "PIL.Image.Image", white: float | int | None, high: int
) -> Float[np.ndarray, "h w"]:
    """Grey values from 0 to `high`."""
    known = white_of(image) if white is None else white
    if known is None:
        raise PictureError("does not say which of its values is white; white=<value> does")
    values = np.asarray(image)
    grey = values.astype(np.float32)
    if not np.isfinite(grey).all():
        raise PictureError("holds values that are not finite")
    grey = np.clip(grey * np.float32(high / known), 0, high)
    if _number(image.info["tags"], 262) == 0:  # TIFF's WhiteIsZero, which Pillow leaves so
        grey = high - grey
    if _keyed(image):
        grey[values == image.info["transparency"]] = high
    return grey


def resize(
    array: Shaped[np.ndarray, "h w c"], size: tuple[int, int], *, box: bool = False
) -> Shaped[np.ndarray, "h2 w2 c"]:
    """An image brought to `(height, width)`, its aspect not kept; uint8 stays uint8, rounded.

    Bilinear over the area that each new pixel covers; `box=True`: the plain mean of that area.
    """
    from PIL import Image

    if array.shape[:2] == tuple(size):
        return array
    kind = Image.Resampling.BOX if box else Image.Resampling.BILINEAR
    if array.dtype != np.uint8:
        array = array.astype(np.float32)
    elif array.shape[-1] == 3:  # the same numbers in one call
        return np.asarray(Image.fromarray(array).resize(size[::-1], kind))
    planes = (np.ascontiguousarray(array[..., c]) for c in range(array.shape[-1]))
    return np.stack([np.asarray(Image.fromarray(p).resize(size[::-1], kind)) for p in planes], -1)


def resized(
    image: "PIL.Image.Image",
    size: tuple[int, int],
    box: Sequence[float | int] | None = None,
) -> "PIL.Image.Image":
    """`resize` of a Pillow image (`L`, `RGB`), or of its part `(top, left, height, width)`."""
    from PIL import Image

    edges = None
    if box is not None:
        top, left, height, width = box
        edges = left, top, left + width, top + height
    return image.resize(size[::-1], Image.Resampling.BILINEAR, edges)


def pair(size: Size | str | None) -> tuple[int, int] | None:
    """A size as `(height, width)`, in pixels; None stays None.

    **Raises:** `ValueError`: it is none, or of more than `MAX_PIXELS`.
    """
    if size is None:
        return None
    several = isinstance(size, Sequence) and not isinstance(size, str)
    given = tuple(size) if several else (size, size)
    sides = [side for side in given if isinstance(side, int) and not isinstance(side, bool)]
    whole = len(given) == len(sides) == 2
    if not whole or min(sides) < 1 or sides[0] * sides[1] > MAX_PIXELS:
        raise ValueError(
            f"size: expected a side >= 1, or [height, width], of at most {MAX_PIXELS:,} pixels,"
            f" got {size}"
        )
    return sides[0], sides[1]
