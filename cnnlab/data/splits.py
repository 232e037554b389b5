"""Splits of a data set: examples by position, in memory or read when asked for."""

import abc
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int, Int32, Shaped, UInt8
from numpy.typing import DTypeLike

from cnnlab.arguments import checked
from cnnlab.data.perturb import Perturbed
from cnnlab.errors import CnnlabError
from cnnlab.machine import memory

Placement = Literal["auto", "device", "stream"]
Labels = Int32[np.ndarray, "b ..."] | Float32[np.ndarray, "b ..."]

RESIDENT_BYTES = 512 * 2**20
"""A split larger than this is streamed rather than kept in memory, unless it is told otherwise."""

NUMBERS = "buif"
"""The kinds of dtype that images may have (`numpy.dtype.kind`): real numbers."""


class DataError(CnnlabError, RuntimeError):
    """Data that cannot be had here, or is damaged; the message says what can be done about it."""


def check_fits(argument: str, count: int, example: int) -> None:
    """Refuse `count` examples, for each of which `example` bytes are needed, that do not fit into
    memory: to be asked before they are made.

    **Raises:** `ValueError` that names the argument.
    """
    if count * example > memory():
        raise ValueError(
            f"{argument}: expected examples that fit into the {memory() / 2**30:.0f} GiB of memory"
            f" here; {count:,} take {count * example:,} bytes, {example:,} each"
        )


def are_tokens(examples: Any) -> bool:
    """Whether an array of examples is one of tokens, `(n, length)` whole numbers: they have no axis
    of channels."""
    return examples.ndim == 2 and examples.dtype.kind in "iu"


def places(examples: Shaped[np.ndarray, "n ..."]) -> tuple[int, ...]:
    """Examples and their positions, `(n, *spatial)`, without the channels that images have."""
    return examples.shape if are_tokens(examples) else examples.shape[:-1]


def as_raw(image: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """Images in one of the two dtypes that batches have: uint8 as they are, others as float32.

    **Raises:** `ValueError`: no numbers.
    """
    if image.dtype.kind not in NUMBERS:
        raise ValueError(f"image: expected an array of numbers, got {image.dtype}")
    if image.dtype == np.uint8:
        return image
    with np.errstate(over="ignore"):  # beyond float32's range: inf, which `Dataset` refuses
        return image.astype(np.float32)


def as_labels(label: Shaped[np.ndarray, "n ..."]) -> Labels:
    """Labels in one of the two dtypes that batches have: whole numbers as int32, the classes,
    others as float32."""
    if label.dtype.kind == "f":
        return label.astype(np.float32)
    return np.clip(label, -2, 2**31 - 1).astype(np.int32)  # -1 may say that there is none


@runtime_checkable
class RandomAccessSource(Protocol):
    """Random access to examples `(image, label)`; picklable, for worker processes.

    A label is a class, or the number or numbers `(...)` of another task.
    """

    def __len__(self) -> int: ...

    def __getitems__(self, positions: Sequence[int]) -> Sequence[tuple[np.ndarray, Any]]: ...


class Split(abc.ABC):
    """Examples by position. `placement` and `workers` are what `loader` takes when not told."""

    placement: Placement = "auto"
    workers: int = 0

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @property
    @abc.abstractmethod
    def nbytes(self) -> int:
        """Bytes that all images take in memory."""

    @abc.abstractmethod
    def take(self, positions: Int[np.ndarray, " b"]) -> tuple[Shaped[np.ndarray, "b ..."], Labels]:
        """Images `(b, *spatial, c)` and labels `(b,)` at the given positions, in that order.

        **Raises:** `DataError`: an image of another shape than the first.
        """

    def perturbed(
        self, positions: Int[np.ndarray, " b"], change: Perturbed
    ) -> tuple[UInt8[np.ndarray, "b ..."], Labels]:
        """`take`, with a change of each picture, which are of 8 bits."""
        image, label = self.take(positions)
        pairs = zip(image, positions, strict=True)
        return np.stack([change.array(one, int(place)) for one, place in pairs]), label

    @abc.abstractmethod
    def select(self, positions: Int[np.ndarray, " m"]) -> "Split":
        """The split made of the examples at these positions."""

    def in_memory(self) -> "ArraySplit":
        """The same examples as two arrays.

        **Raises:** `ValueError`: memory can't hold them.
        """
        check_fits("placement", len(self), self.nbytes // max(len(self), 1))
        image, label = self.take(np.arange(len(self)))
        return ArraySplit(image, label, placement=self.placement, workers=self.workers)


@checked
class ArraySplit(Split):
    """A split in memory: `image` `(n, *spatial, c)`, uint8 or float32, or whole numbers `(n,
    length)`, tokens; `label` `(n,)` int32, the classes, or float32 targets `(n, ...)` of another
    task.

    **Raises:** `ValueError`: not one label for each image, or what is no number.
    """

    def __init__(
        self,
        image: Shaped[np.ndarray, "n ..."],
        label: Shaped[np.ndarray, "n ..."],
        *,
        placement: Placement = "auto",
        workers: int = 0,
    ):
        if label.dtype.kind not in NUMBERS or len(label) != len(image):
            raise ValueError(
                f"label: expected {len(image)} numbers, as many as images,"
                f" got {len(label)} of {label.dtype}"
            )
        self.image = image if are_tokens(image) else as_raw(image)
        self.label: Labels = as_labels(label)
        self.placement = placement
        self.workers = workers

    def __len__(self) -> int:
        return len(self.label)

    @property
    def nbytes(self) -> int:
        return self.image.nbytes

    def take(self, positions: Int[np.ndarray, " b"]) -> tuple[Shaped[np.ndarray, "b ..."], Labels]:
        return self.image[positions], self.label[positions]

    def select(self, positions: Int[np.ndarray, " m"]) -> "ArraySplit":
        image, label = self.take(positions)
        return ArraySplit(image, label, placement=self.placement, workers=self.workers)


@checked
class SourceSplit(Split):
    """A split read from a random-access source when examples are asked for.

    **Arguments:**

    - `shape`, `dtype`: of every image, `(*spatial, c)`.
    - `positions`: the places of its examples in the source; all of them if not given.
    """

    def __init__(
        self,
        source: RandomAccessSource,
        shape: tuple[int, ...],
        *,
        dtype: DTypeLike = np.uint8,
        positions: Int[np.ndarray, " n"] | None = None,
        placement: Placement = "auto",
        workers: int = 0,
    ):
        self.source = source
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.positions = np.arange(len(source)) if positions is None else positions
        self.placement = placement
        self.workers = workers

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def nbytes(self) -> int:
        return len(self) * int(np.prod(self.shape)) * self.dtype.itemsize

    def take(self, positions: Int[np.ndarray, " b"]) -> tuple[Shaped[np.ndarray, "b ..."], Labels]:
        image = np.empty((len(positions), *self.shape), self.dtype)
        label = []
        places = self.positions[positions]
        # In pieces: the records of a whole split at once would double the memory.
        for start in range(0, len(places), 4096):
            piece = [int(place) for place in places[start : start + 4096]]
            for row, (one, its_label) in enumerate(self.source.__getitems__(piece), start):
                if one.shape != self.shape:
                    raise DataError(
                        f"example {places[row]}: expected an image of shape {list(self.shape)}, as"
                        f" the first, got {list(one.shape)}"
                    )
                image[row] = one
                label.append(its_label)
        return image, as_labels(np.array(label) if label else np.empty(0, np.int32))

    def select(self, positions: Int[np.ndarray, " m"]) -> "SourceSplit":
        return SourceSplit(
            self.source,
            self.shape,
            dtype=self.dtype,
            positions=self.positions[positions],
            placement=self.placement,
            workers=self.workers,
        )
