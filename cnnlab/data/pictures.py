"""Picture files as examples: read when asked for, as they are or perturbed, or held in memory."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from cnnlab.data.decode import (
    PictureError,
    open_picture,
    resize,
    resized,
    to_array,
    to_pixels,
    to_plain,
)
from cnnlab.data.inventory import Look
from cnnlab.data.perturb import Perturbed
from cnnlab.data.splits import (
    ArraySplit,
    DataError,
    Labels,
    SourceSplit,
    as_labels,
)

_MANY = 256


@dataclasses.dataclass(frozen=True)
class Reading:
    """How picture files are read.

    - `size`: `(height, width)` that they are brought to; None: they have one size.
    - `channels`: 1 or 3; None: 1 if all of them are grey, else 3.
    - `depth`: 8: white is 255; 16: up to 16 bits are kept, as float32 with white at 65535.
    - `white`: the value of white in pictures deeper than 8 bits whose file does not say it.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    depth: int = 8
    white: float | int | None = None

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels: expected 1, 3 or None, got {self.channels}")
        if self.depth not in (8, 16):
            raise ValueError(f"depth: expected 8 or 16, got {self.depth}")
        if self.white is not None and not 0 < self.white < np.inf:
            raise ValueError(f"white: expected a number above 0, got {self.white}")

    @property
    def high(self) -> int:
        """The value of white in what is read."""
        return 2**self.depth - 1


class PictureSource:
    """Picture files as random-access examples; picklable.

    **Arguments:** `looks`, what the files held when they were looked at; `reading`, whose `size`
    and `channels` are known.
    """

    def __init__(
        self,
        paths: Sequence[str],
        label: Shaped[np.ndarray, "n ..."],
        looks: Sequence[Look],
        reading: Reading,
    ):
        self.paths = list(paths)
        self.label = as_labels(label)
        self.digests = [look.digest for look in looks]
        self.full = np.array([(look.height, look.width) for look in looks], np.int32)
        self.reading = reading

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, positions: Sequence[int]) -> list[tuple[np.ndarray, Any]]:
        if len(positions) < _MANY:
            images = map(self.image, positions)
        else:  # Pillow decodes without the interpreter's lock
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                images = list(pool.map(self.image, positions))
        return list(zip(images, self.label[list(positions)], strict=True))

    def image(self, position: int) -> Shaped[np.ndarray, "h w c"]:
        """One picture as an example: what `picture.read_picture` makes of its file."""
        reading = self.reading
        assert reading.channels is not None
        with _unchanged(self.paths[position]):
            picture = open_picture(self.paths[position], near=reading.size)
            array = to_array(picture, reading.channels, high=reading.high, white=reading.white)
        return array if reading.size is None else resize(array, reading.size)

    def perturbed(self, position: int, change: Perturbed, at: int) -> UInt8[np.ndarray, "h w c"]:
        """One picture of 8 bits after a change; `at`, its position in the split, decides which."""
        reading, crop = self.reading, change.crop
        assert reading.channels is not None
        height, width = (int(side) for side in self.full[position])
        size = reading.size or (height, width)
        box = (0, 0, height, width) if crop is None else crop.box(height, width, change.draw(at, 0))
        # What the whole picture becomes where its part becomes an example.
        near = (-(-size[0] * height // box[2]), -(-size[1] * width // box[3]))
        with _unchanged(self.paths[position]):
            picture = open_picture(self.paths[position], near=near)
            if picture.info["full"] != (height, width):
                raise PictureError(f"is not of {height} x {width} pixels")
            picture = to_plain(picture, reading.channels, white=reading.white)
        down, across = picture.height / height, picture.width / width
        part = box[0] * down, box[1] * across, box[2] * down, box[3] * across
        if crop is not None or picture.size != size[::-1]:
            picture = resized(picture, size, part)
        return to_pixels(change(picture, at, cropped=crop is not None))


@contextlib.contextmanager
def _unchanged(path: str) -> Iterator[None]:
    """Whatever reading a file runs into that could be read before, as a `DataError`."""
    try:
        yield
    except (OSError, PictureError) as error:
        reason = f"can't be read: {error.strerror}" if isinstance(error, OSError) else error
        raise DataError(
            f"{shown_path(path)} {reason}; it has changed since it was looked at"
        ) from (error)


def shown_path(path: str) -> str:
    """A path as messages have it, on one line, whatever its bytes are."""
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    return shown if shown.isprintable() else repr(shown)


class PictureSplit(SourceSplit):
    """A split of picture files, which may be held in memory as examples besides.

    **Arguments:** as `SourceSplit`; `held`, its examples.
    """

    def __init__(
        self, source: PictureSource, *args: Any, held: ArraySplit | None = None, **kwargs: Any
    ):
        super().__init__(source, *args, **kwargs)
        self.pictures = source
        self.held = held

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "held": None}  # workers read what they are asked for

    @property
    def label(self) -> Labels:
        """All labels, of which none needs a picture."""
        return self.pictures.label[self.positions]

    @property
    def digests(self) -> list[str]:
        """What stands for the content of each file."""
        return [self.pictures.digests[place] for place in self.positions]

    def take(self, positions: Int[np.ndarray, " b"]) -> tuple[Shaped[np.ndarray, "b ..."], Labels]:
        return (super() if self.held is None else self.held).take(positions)

    def in_memory(self) -> ArraySplit:
        return self.held if self.held is not None else super().in_memory()

    def perturbed(
        self, positions: Int[np.ndarray, " b"], change: Perturbed
    ) -> tuple[UInt8[np.ndarray, "b ..."], Labels]:
        pairs = zip(self.positions[positions], positions, strict=True)
        images = [self.pictures.perturbed(int(place), change, int(at)) for place, at in pairs]
        return np.stack(images), self.label[positions]

    def select(self, positions: Int[np.ndarray, " m"]) -> "PictureSplit":
        return PictureSplit(
            self.pictures,
            self.shape,
            dtype=self.dtype,
            positions=self.positions[positions],
            held=None if self.held is None else self.held.select(positions),
            placement=self.placement,
            workers=self.workers,
        )
