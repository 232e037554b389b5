"""Batches by step: resident on the device, or streamed by worker processes, the same ones."""

from collections.abc import Generator, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, PyTree

from cnnlab.arguments import checked
from cnnlab.data.batches import Batch, BatchSampler
from cnnlab.data.perturb import Perturbation, ordered
from cnnlab.data.splits import RESIDENT_BYTES, Placement, Split


@runtime_checkable
class Loader(Protocol):
    """Batches by step.

    - `resident`: device arrays that every step gets.
    - `handles`: an iterator with what stands for the batch of each step; to be closed at the end.
    - `fetch`: the batch that a handle stands for; can be jitted.
    """

    batch_size: int
    steps_per_epoch: int
    resident: PyTree

    def handles(self, start_step: int = 0) -> Generator[Any, None, None]: ...

    def fetch(self, resident: Any, handle: Any) -> Batch: ...


class DeviceLoader:
    """The whole split as one array on the device; a handle is the `(b,)` positions of a step.

    **Raises:** `ValueError`: the host's memory can't hold the split.
    """

    def __init__(self, split: Split, sampler: BatchSampler):
        memory = split.in_memory()
        self.sampler = sampler
        self.steps_per_epoch = sampler.steps_per_epoch
        self.batch_size = sampler.batch_size
        self.resident: tuple[Array, Array] = (jnp.asarray(memory.image), jnp.asarray(memory.label))

    def handles(self, start_step: int = 0) -> Generator[Int32[np.ndarray, " b"], None, None]:
        """Positions of each step from `start_step`."""
        for step in self.sampler.steps(start_step):
            yield self.sampler.indices(step)

    @staticmethod
    def fetch(resident: tuple[Array, Array], handle: Int32[Array | np.ndarray, " b"]) -> Batch:
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

    def __init__(
        self,
        split: Split,
        sampler: BatchSampler,
        workers: int,
        perturbations: tuple[Perturbation, ...] = (),
    ):
        if workers < 0:
            raise ValueError(f"workers: expected an integer >= 0, got {workers}")
        self.split = split
        self.sampler = sampler
        self.steps_per_epoch = sampler.steps_per_epoch
        self.batch_size = sampler.batch_size
        self.workers = workers
        self.perturbations = perturbations

    def handles(self, start_step: int = 0) -> Generator[Batch, None, None]:
        """Batches of each step from `start_step`. Closing the iterator ends the workers."""
        from cnnlab.data.stream import stream  # imports Grain

        return stream(self.split, self.sampler, start_step, self.workers, self.perturbations)

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
    perturbations: Sequence[Perturbation] = (),
    part: tuple[int, int] = (0, 1),
) -> Loader:
    """Batches of a split, resident on the device or streamed.

    **Arguments:**

    - `seed`: of the order; batches depend on `(seed, epoch)` and nothing else.
    - `shuffle`: True for training: endless, each epoch in its own order, its last partial batch
      dropped. False for evaluation: one pass in order, the last batch padded with index -1.
    - `placement`: `"device"`, `"stream"`, or `"auto"`: what the split asks for, else the device
      for splits below 512 MB.
    - `workers`: processes that read a stream; what the split asks for if not given.
    - `perturbations`: of each picture as it is read, a `RandomResizedCrop` first; streamed then.
    - `part`: `(i, n)`: handles are of the i-th of n shares of each batch only.

    **Raises:** `ValueError`: a batch size that the split can't fill, fewer than 0 workers, or
    pictures to be perturbed that are to be kept on the device.
    """
    sampler = BatchSampler(len(split), batch_size, seed=seed, shuffle=shuffle, part=part)
    if placement == "auto":
        placement = split.placement
    if perturbations and placement == "device":
        name = type(perturbations[0]).__name__
        raise ValueError(f"placement: expected auto or stream, where {name} is applied, got device")
    if placement == "auto" and not perturbations:
        placement = "device" if split.nbytes < RESIDENT_BYTES else "stream"
    if placement == "device":
        return DeviceLoader(split, sampler)
    workers = split.workers if workers is None else workers
    return StreamLoader(split, sampler, workers, ordered(perturbations))
