"""Batches by step: resident on the device, or streamed by worker processes, the same ones.

The order of examples is a pure function of `(seed, epoch)` and a step's batch is a slice of it, so
that both placements give identical batches and training resumes at any step.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Shaped

from cnnlab.arguments import checked
from cnnlab.data.splits import RESIDENT_BYTES, Placement, Split


class Batch(NamedTuple):
    """Examples of one step; a pytree.

    - `image`: `(b, *spatial, c)`, raw (uint8 or float32), or float32 once prepared.
    - `label`: `(b,)` int32 classes, or `(b, k)` float32 targets once prepared.
    - `index`: `(b,)` int32 position in the split; -1 marks the padding of a last batch.
    """

    image: Shaped[Array | np.ndarray, "b ..."]
    label: Int32[Array | np.ndarray, " b"] | Float[Array | np.ndarray, "b k"]
    index: Int32[Array | np.ndarray, " b"]


@checked
def epoch_order(n: int, seed: int, epoch: int) -> Int32[np.ndarray, " n"]:
    """The order in which epoch `epoch` of a run with seed `seed` goes through `n` examples."""
    for name, value in (("n", n), ("seed", seed), ("epoch", epoch)):
        if value < 0:
            raise ValueError(f"{name}: expected an integer >= 0, got {value}")
    # RandomState's streams are frozen: a run repeats with every version of NumPy.
    bits = np.random.MT19937(np.random.SeedSequence([seed, epoch]))
    return np.random.RandomState(bits).permutation(n).astype(np.int32)


class Schedule:
    """Which positions each step takes. Picklable; remembers the order of one epoch."""

    def __init__(self, n: int, batch_size: int, *, seed: int, shuffle: bool):
        if batch_size < 1:
            raise ValueError(f"batch_size: expected an integer >= 1, got {batch_size}")
        if n < 1:
            raise ValueError("split: expected at least 1 example, got none")
        if shuffle and batch_size > n:
            raise ValueError(
                f"batch_size: expected at most {n}, the examples of the split, got {batch_size}"
            )
        self.n = n
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.steps_per_epoch = n // batch_size if shuffle else -(-n // batch_size)
        self._order: tuple[int, np.ndarray] | None = None

    def indices(self, step: int) -> Int32[np.ndarray, " b"]:
        """Positions of step `step` (over all epochs), padded with -1 to the batch size."""
        epoch, place = divmod(step, self.steps_per_epoch)
        start = place * self.batch_size
        if not self.shuffle:
            taken = np.arange(start, min(start + self.batch_size, self.n), dtype=np.int32)
            return np.pad(taken, (0, self.batch_size - len(taken)), constant_values=-1)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, epoch_order(self.n, self.seed, epoch))
        return self._order[1][start : start + self.batch_size]

    def steps(self, start_step: int) -> range:
        """The steps from `start_step`: without end when shuffled, of one pass when not."""
        # As many as an int32 step counter of a training run can reach.
        return range(start_step, 2**31 - 1 if self.shuffle else self.steps_per_epoch)


class DeviceLoader:
    """The whole split as one array on the device; a handle is the `(b,)` positions of a step."""

    def __init__(self, split: Split, schedule: Schedule):
        memory = split.in_memory()
        self.schedule = schedule
        self.steps_per_epoch = schedule.steps_per_epoch
        self.batch_size = schedule.batch_size
        self.resident: tuple[Array, Array] = (jnp.asarray(memory.image), jnp.asarray(memory.label))

    def handles(self, start_step: int = 0) -> Iterator[Int32[np.ndarray, " b"]]:
        """Positions of each step from `start_step`."""
        for step in self.schedule.steps(start_step):
            yield self.schedule.indices(step)

    @staticmethod
    def fetch(resident: tuple[Array, Array], handle: Any) -> Batch:
        """The batch at these positions; runs inside the jitted step."""
        image, label = resident
        index = jnp.asarray(handle, jnp.int32)
        place = jnp.maximum(index, 0)
        return Batch(image[place], label[place], index)


class StreamLoader:
    """Batches read from the split as they are needed; a handle is a `Batch` of NumPy arrays.

    Read by Grain: in threads of this process (`workers=0`) or in `workers` processes.
    """

    resident: tuple[()] = ()

    def __init__(self, split: Split, schedule: Schedule, workers: int):
        if workers < 0:
            raise ValueError(f"workers: expected an integer >= 0, got {workers}")
        self.split = split
        self.schedule = schedule
        self.steps_per_epoch = schedule.steps_per_epoch
        self.batch_size = schedule.batch_size
        self.workers = workers

    def handles(self, start_step: int = 0) -> Iterator[Batch]:
        """Batches of each step from `start_step`. Closing the iterator ends the workers."""
        from cnnlab.data.stream import stream

        return stream(self.split, self.schedule, start_step, self.workers)

    @staticmethod
    def fetch(resident: tuple[()], handle: Batch) -> Batch:
        """The handle itself as arrays of the device; runs inside the jitted step."""
        del resident
        return jax.tree.map(jnp.asarray, handle)


@checked
def loader(
    split: Split,
    batch_size: int,
    *,
    seed: int,
    shuffle: bool = True,
    placement: Placement = "auto",
    workers: int | None = None,
) -> DeviceLoader | StreamLoader:
    """Batches of a split, resident on the device or streamed.

    **Arguments:**

    - `seed`: of the order; batches depend on `(seed, epoch)` and nothing else.
    - `shuffle`: True for training: endless, each epoch in its own order, its last partial batch
      dropped. False for evaluation: one pass in order, the last batch padded with index -1.
    - `placement`: `"device"`, `"stream"`, or `"auto"`: what the split asks for, else the device
      for splits below 512 MB.
    - `workers`: processes that read a stream; what the split asks for if not given.

    **Returns:** an object with `steps_per_epoch`; `resident`, device arrays that every step gets;
    `handles(start_step)`, an iterator with one handle a step; and the jittable
    `fetch(resident, handle) -> Batch`.
    """
    schedule = Schedule(len(split), batch_size, seed=seed, shuffle=shuffle)
    if placement == "auto":
        placement = split.placement
    if placement == "auto":
        placement = "device" if split.nbytes < RESIDENT_BYTES else "stream"
    if placement == "device":
        return DeviceLoader(split, schedule)
    return StreamLoader(split, schedule, split.workers if workers is None else workers)
