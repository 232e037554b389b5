"""A picture from a file as one example of a data set: what training saw, or as near as can be."""

import contextlib
import dataclasses
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Shaped

from cnnlab.data.dataset import is_light
from cnnlab.data.decode import (
    PictureError,
    Size,
    is_deep,
    open_picture,
    pair,
    resize,
    to_array,
    white_of,
)
from cnnlab.data.splits import NUMBERS, as_raw
from cnnlab.errors import CnnlabError

if TYPE_CHECKING:
    import PIL.Image

_log = logging.getLogger(__name__)

INVERT = ("auto", True, False)

OWN_SIZE_PIXELS = 2**22
"""The largest picture that is classified at its own size: a network's features take hundreds of
bytes a pixel."""

_FEW = 0.01


@dataclasses.dataclass(frozen=True)
class Form:
    """What the examples of a data set look like, for pictures to be brought into that form.

    - `shape`: `(*spatial, c)`.
    - `high`: the value of white: 255, or 16 for `digits`; None where it is not known.
    - `fit`: how images got their size: `"stretch"` where they were resized (`data.size`), `"pad"`
        where they had it; other pictures are then scaled to fit, and filled up with the colour of
        their border.
    - `light_borders`: the share of training images with a light border; None for more channels
        than one.
    """

    shape: tuple[int, ...]
    high: int | None = 255
    fit: Literal["pad", "stretch"] = "pad"
    light_borders: float | None = None


def read_picture(
    path: str | Path,
    form: Form,
    *,
    size: Size | str | None = None,
    invert: bool | str = "auto",
    white: float | int | None = None,
) -> Shaped[np.ndarray, "*spatial c"]:
    """A picture, or an array in a `.npy` file, as one example of a data set, in its raw units.

    A data set's own picture becomes exactly the example that training saw. An array is taken as
    it is. A picture that holds no value above `form.high` (16 for `digits`) is in the data set's
    units already.

    **Arguments:**

    - `size`: `(height, width)` or a side, where not the data set's; `"own"`: the picture's.
    - `invert`: swap light and dark. `"auto"` does so for data sets with one channel, nearly all
        (99 %) of whose training images have borders of one kind, where the picture's border is of
        the other; but not in pictures of the data set's own size, or where its images were resized.
    - `white`: the value of white in a grey picture of more than 8 bits, where its file does not
        say it, or says it wrongly.

    **Raises:** `CnnlabError` when the file can't be read or its white is not known; `ValueError`
    for a bad argument, or a data set that is not of images.
    """
    if not any(invert is choice or invert == choice == "auto" for choice in INVERT):
        raise ValueError(f"invert: expected true, false or auto, got {invert!r}")
    if white is not None and not 0 < white < np.inf:
        raise ValueError(f"white: expected a number above 0, got {white}")
    own = size == "own"
    try:
        if Path(path).suffix.lower() == ".npy":
            return _read_array(path, form, None if own else pair(size) or form.shape[:-1])
        high = _white(form)
        target = None if own else pair(size) or (form.shape[0], form.shape[1])
        with _quiet():
            image = open_picture(path, near=target if form.fit == "stretch" else None)
        array, unit = _in_units(image, form, high, white)
    except FileNotFoundError as error:
        raise CnnlabError(f"image: no such file: {str(path)!r}") from error
    except OSError as error:
        raise CnnlabError(f"image: {str(path)!r} can't be read: {error.strerror}") from error
    except PictureError as error:
        raise CnnlabError(f"image: {str(path)!r} {error}") from error
    if image.info["frames"]:
        _log.warning("image: the first of several pictures in %s is taken", path)
    if is_deep(image) and white is None and 0 < array.max() < unit / 8:
        _log.warning(
            "image: no value in %s is above 1/8 of %g, which its file says is white; if another"
            " value is, give white=<value>",
            path,
            white_of(image),
        )
    swap = _swapped(array, unit, form) if invert == "auto" else invert
    height, width = target or _own_size(array)
    fitted = _fitted(array, (height, width), form.fit)
    fitted = unit - fitted if swap else fitted
    return fitted if unit == high else _scaled(fitted, high / unit)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what decoders print, to the process's standard error too: the refusal says it."""
    with warnings.catch_warnings(), open(os.devnull, "wb") as nothing:
        warnings.simplefilter("ignore")
        kept = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _white(form: Form) -> int:
    """The value of white of a data set of images.

    **Raises:** `ValueError`: it is of anything else.
    """
    if len(form.shape) != 3 or form.shape[-1] not in (1, 3, 4) or form.high is None:
        what = f"of examples {list(form.shape)}"
        what = "whose value of white is not known" if form.high is None else what
        raise ValueError(
            "image: expected a run on a data set of images (h, w, c) with 1, 3 or 4 channels, got"
            f" one {what}: its examples can be given as .npy files"
        )
    return form.high


def _read_array(
    path: str | Path, form: Form, target: tuple[int, ...] | None
) -> Shaped[np.ndarray, "*spatial c"]:
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # numbers only, never objects
    except OSError:
        raise
    except Exception as error:  # whatever a damaged header makes its parser run into
        raise PictureError("is not an array that can be read (.npy)") from error
    shape, kind = array.shape, array.dtype.kind
    fits = shape[-1:] == form.shape[-1:] and len(shape) == len(form.shape)
    if kind not in NUMBERS or not fits or (target is not None and shape[:-1] != tuple(target)):
        expected = [*(target or ["*"] * (len(form.shape) - 1)), form.shape[-1]]
        raise PictureError(
            f"holds {array.dtype} of shape {list(shape)}: expected numbers of shape {expected}"
        )
    if target is None:
        _own_size(array)
    example = as_raw(np.array(array))
    if not np.isfinite(example).all():
        raise PictureError("holds values that are not finite")
    return example


def _in_units(
    image: "PIL.Image.Image", form: Form, high: int, white: float | int | None
) -> tuple[Shaped[np.ndarray, "h w c"], int]:
    """The picture at its own size, and its value of white: the data set's, or a finer one."""
    channels = form.shape[-1]
    if high < 255 and not is_deep(image):
        raw = to_array(image, channels)
        if raw.max() <= high:
            return raw, high
    unit = high if form.fit == "stretch" else max(255, high)
    return to_array(image, channels, high=unit, white=white), unit


def _own_size(array: Shaped[np.ndarray, "*spatial c"]) -> tuple[int, ...]:
    spatial = array.shape[:-1]
    if np.prod(spatial) > OWN_SIZE_PIXELS:
        raise ValueError(
            f"size: a picture of {' x '.join(map(str, spatial))} is too large for size=own:"
            f" expected at most {OWN_SIZE_PIXELS:,} pixels"
        )
    return spatial


def _swapped(array: Shaped[np.ndarray, "h w c"], unit: int, form: Form) -> bool:
    """Whether light and dark are to be swapped, by themselves; a line says that they are."""
    share = form.light_borders
    if share is None or form.shape[-1] != 1 or _FEW <= share <= 1 - _FEW:
        return False
    [light] = is_light(array[None], unit)
    if light == (share > 0.5):
        return False
    kinds = ("light", "dark") if light else ("dark", "light")
    about = f"the picture's border is {kinds[0]}, the training images' are {kinds[1]}"
    if form.fit == "stretch" or array.shape == form.shape:
        _log.warning("image: %s; invert=true would swap them", about)
        return False
    _log.warning("image: %s: swapped; invert=false keeps them", about)
    return True


def _fitted(
    array: Shaped[np.ndarray, "h w c"], target: tuple[int, int], fit: str
) -> Shaped[np.ndarray, "h2 w2 c"]:
    if fit == "stretch" or array.shape[:2] == target:
        return resize(array, target)
    scale = min(new / old for new, old in zip(target, array.shape, strict=False))
    height, width = (max(1, round(side * scale)) for side in array.shape[:2])
    top, left = (target[0] - height) // 2, (target[1] - width) // 2
    edges = [array[0], array[-1], array[:, 0], array[:, -1]]
    border = np.median(np.concatenate(edges), axis=0).astype(array.dtype)
    padded = np.broadcast_to(border, (*target, array.shape[-1])).copy()
    inner = resize(array, (height, width), box=True)
    padded[top : top + height, left : left + width] = inner
    return padded


def _scaled(array: Shaped[np.ndarray, "h w c"], factor: float) -> Shaped[np.ndarray, "h w c"]:
    return np.rint(array * factor).astype(np.uint8)
