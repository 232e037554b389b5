"""A picture from a file, in the form of a data set's examples."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cnnlab.errors import CnnlabError

INVERT = ("auto", True, False)


def read_picture(
    path: str | Path,
    shape: tuple[int, ...],
    *,
    invert: bool | str = "auto",
    mean: float = 127.5,
    high: int = 255,
) -> UInt8[np.ndarray, "h w c"]:
    """A PNG or JPEG as one example of a data set: colours, size and polarity as its images have.

    Transparency is laid over white, the whole picture is kept: scaled to fit, centred, and filled
    up with the colour of its border.

    **Arguments:**

    - `shape`: `(h, w, c)` of the data set, `c` 1 (grey) or 3 (RGB).
    - `high`: the value of white in the data set: 255, or 16 for `digits`.
    - `invert`: swap light and dark; `"auto"` does so where the picture's border is light and the
        data set's images, whose `mean` (0 to `high`) is below the middle, are dark.

    **Raises:** `CnnlabError` when the file is no picture; `ValueError` for another shape.
    """
    from PIL import Image, ImageOps

    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(
            f"image: expected a data set of images (h, w, 1) or (h, w, 3), got {list(shape)}"
        )
    if invert not in INVERT:
        raise ValueError(f"invert: expected true, false or auto, got {invert!r}")
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGBA")
    except FileNotFoundError as error:
        raise CnnlabError(f"image: no such file: {str(path)!r}") from error
    except (OSError, Image.DecompressionBombError) as error:
        raise CnnlabError(f"image: {str(path)!r} is not a picture that can be read") from error
    white = Image.new("RGBA", picture.size, "white")
    picture = Image.alpha_composite(white, picture).convert("L" if shape[-1] == 1 else "RGB")
    border = _border_colour(np.asarray(picture))
    height, width = shape[:2]
    fitted = ImageOps.pad(
        picture, (width, height), Image.Resampling.BOX, color=tuple(border.tolist())
    )
    pixels = np.asarray(fitted).reshape(shape)
    if invert == "auto":
        invert = bool(border.mean() > 127.5 and mean < high / 2)
    pixels = 255 - pixels if invert else pixels
    return np.round(pixels * (high / 255)).astype(np.uint8)


def _border_colour(pixels: np.ndarray) -> np.ndarray:
    """The median colour of the outermost pixels."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    return np.median(np.concatenate(edges), axis=0).astype(np.uint8)
