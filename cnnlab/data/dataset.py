"""What a data set is: splits of examples by position, class names, measured statistics."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Int32, Shaped

Placement = Literal["auto", "device", "stream"]

RESIDENT_BYTES = 512 * 2**20
"""A split larger than this is streamed rather than kept in memory, unless it is told otherwise."""

_STATISTICS_SAMPLE = 10_000


@runtime_checkable
class Source(Protocol):
    """Random access to examples `(image, label)`; picklable, for worker processes."""

    def __len__(self) -> int: ...

    def __getitems__(self, positions: Sequence[int]) -> list[tuple[np.ndarray, int]]: ...


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
    def take(
        self, positions: Int[np.ndarray, " b"]
    ) -> tuple[Shaped[np.ndarray, "b ..."], Int32[np.ndarray, " b"]]:
        """Images `(b, *spatial, c)` and labels `(b,)` at the given positions, in that order."""

    @abc.abstractmethod
    def select(self, positions: Int[np.ndarray, " m"]) -> "Split":
        """The split made of the examples at these positions."""

    def in_memory(self) -> "ArraySplit":
        """The same examples as two arrays."""
        image, label = self.take(np.arange(len(self)))
        return ArraySplit(image, label, placement=self.placement, workers=self.workers)


class ArraySplit(Split):
    """A split in memory: `image` `(n, *spatial, c)`, uint8 or float32, `label` `(n,)` int32."""

    def __init__(
        self,
        image: Shaped[np.ndarray, "n ..."],
        label: Int[np.ndarray, " n"],
        *,
        placement: Placement = "auto",
        workers: int = 0,
    ):
        if image.dtype != np.uint8:
            image = image.astype(np.float32)
        self.image = image
        self.label = label.astype(np.int32)
        self.placement = placement
        self.workers = workers

    def __len__(self) -> int:
        return len(self.label)

    @property
    def nbytes(self) -> int:
        return self.image.nbytes

    def take(
        self, positions: Int[np.ndarray, " b"]
    ) -> tuple[Shaped[np.ndarray, "b ..."], Int32[np.ndarray, " b"]]:
        return self.image[positions], self.label[positions]

    def select(self, positions: Int[np.ndarray, " m"]) -> "ArraySplit":
        image, label = self.take(positions)
        return ArraySplit(image, label, placement=self.placement, workers=self.workers)


class SourceSplit(Split):
    """A split read from a random-access source when examples are asked for.

    `positions` are the places of its examples in the source: all of them if not given.
    """

    def __init__(
        self,
        source: Source,
        shape: tuple[int, ...],
        *,
        dtype: Any = np.uint8,
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

    def take(
        self, positions: Int[np.ndarray, " b"]
    ) -> tuple[Shaped[np.ndarray, "b ..."], Int32[np.ndarray, " b"]]:
        image = np.empty((len(positions), *self.shape), self.dtype)
        label = np.empty(len(positions), np.int32)
        places = self.positions[positions]
        # In pieces: the records of a whole split at once would double the memory.
        for start in range(0, len(places), 4096):
            piece = [int(place) for place in places[start : start + 4096]]
            for row, (one, its_label) in enumerate(self.source.__getitems__(piece), start):
                image[row], label[row] = one, its_label
        return image, label

    def select(self, positions: Int[np.ndarray, " m"]) -> "SourceSplit":
        return SourceSplit(
            self.source,
            self.shape,
            dtype=self.dtype,
            positions=self.positions[positions],
            placement=self.placement,
            workers=self.workers,
        )


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Splits and what is known about them.

    - `val` is empty when no part of the training split was set aside for validation.
    - `input_shape` is one example's `(*spatial, c)`.
    - `mean`, `std`: `(c,)`, of the training split (validation part taken away), in raw units:
      0..255 for uint8 images.
    - `origin`: where the data came from, in words.
    - `high`: the largest raw value of an image, its white.
    - `fingerprint`: stands for the examples (`data.fingerprint`), empty where the config alone
      determines them: a run on other examples is another run.
    """

    name: str
    train: Split
    val: Split
    test: Split
    num_classes: int
    class_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    mean: Float[np.ndarray, " c"]
    std: Float[np.ndarray, " c"]
    origin: str
    high: int = 255
    fingerprint: str = ""


def carve(
    n: int, fraction: float | int, *, seed: int = 0
) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]:
    """Positions `(kept, set_aside)` of a split of `n` examples, each sorted.

    `round(fraction * n)` examples drawn without replacement are set aside. The draw depends on
    `n`, `fraction` and `seed` only, so that every run of an experiment validates on the same ones.
    Raises `ValueError` unless 0 <= fraction < 1 and both parts get an example (fraction > 0).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"val_fraction: expected a number from 0 to below 1, got {fraction}")
    held = round(fraction * n)
    if fraction > 0 and not 0 < held < n:
        raise ValueError(
            f"val_fraction: {fraction} of {n} training examples leaves "
            f"{n - held} to train and {held} to validate; expected at least 1 each"
        )
    # RandomState's streams are frozen: the same split with every version of NumPy.
    order = np.random.RandomState(seed).permutation(n)
    return np.sort(order[held:]), np.sort(order[:held])


def statistics(split: Split) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Mean and standard deviation per channel, `(c,)` float32, in raw units.

    Of all examples and positions; of a fixed sample of 10,000 examples where the split is too
    large to be held in memory. A channel that never changes gets the standard deviation 1.
    """
    n = len(split)
    if split.nbytes > RESIDENT_BYTES and n > _STATISTICS_SAMPLE:
        positions = np.sort(np.random.RandomState(0).permutation(n)[:_STATISTICS_SAMPLE])
    else:
        positions = np.arange(n)
    count, total, squares = 0, 0.0, 0.0
    for start in range(0, len(positions), 4096):
        piece = positions[start : start + 4096]
        # A view of what is in memory already, where the positions are all of it.
        if isinstance(split, ArraySplit) and len(positions) == n:
            image = split.image[start : start + 4096]
        else:
            image, _ = split.take(piece)
        rows = image.reshape(-1, image.shape[-1])
        if image.dtype == np.uint8:
            # Exact and eight times smaller than a float64 copy: how often each value occurs.
            values = np.arange(256, dtype=np.float64)
            counts = np.stack(
                [np.bincount(rows[:, c], minlength=256) for c in range(rows.shape[1])]
            )
            piece_total, piece_squares = counts @ values, counts @ values**2
        else:
            wide = rows.astype(np.float64)
            piece_total, piece_squares = wide.sum(0), (wide**2).sum(0)
        count, total, squares = count + len(rows), total + piece_total, squares + piece_squares
    mean = np.asarray(total) / count
    std = np.sqrt(np.maximum(np.asarray(squares) / count - mean**2, 0.0))
    return mean.astype(np.float32), np.where(std > 0, std, 1.0).astype(np.float32)


def assemble(
    name: str,
    train: Split,
    test: Split,
    *,
    class_names: Sequence[str],
    val_fraction: float | int,
    origin: str,
    high: int = 255,
    fingerprint: str = "",
) -> Dataset:
    """Carve the validation split, measure the statistics, and put the data set together."""
    kept, held = carve(len(train), val_fraction)
    val = train.select(held)
    train = train.select(kept) if len(held) else train
    mean, std = statistics(train)
    shape = train.take(np.arange(1))[0].shape[1:]
    return Dataset(
        name=name,
        train=train,
        val=val,
        test=test,
        num_classes=len(class_names),
        class_names=tuple(class_names),
        input_shape=tuple(int(n) for n in shape),
        mean=mean,
        std=std,
        origin=origin,
        high=high,
        fingerprint=fingerprint,
    )
