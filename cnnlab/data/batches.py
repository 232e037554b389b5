"""A batch, and which examples are in it.

The order of examples is a pure function of `(seed, epoch)` and a step's batch is a slice of it, so
that however batches are loaded they are the same, and training resumes at any step.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int32, Shaped

from cnnlab.arguments import checked


class Batch(NamedTuple):
    """Examples of one step; a pytree.

    - `image`: `(b, *spatial, c)`, raw (uint8 or float32), or float32 once prepared; tokens `(b,
      length)` stay whole numbers.
    - `label`: `(b,)` int32 classes, or float32 targets, such as `(b, k)` once prepared.
    - `index`: `(b,)` int32 position in the split; -1 marks the padding of a last batch.
    """

    image: Shaped[Array | np.ndarray, "b ..."]
    label: Int32[Array | np.ndarray, "b ..."] | Float[Array | np.ndarray, "b ..."]
    index: Int32[Array | np.ndarray, " b"]


@checked
def epoch_order(n: int, seed: int, epoch: int) -> Int32[np.ndarray, " n"]:
    """The order in which epoch `epoch` of a run with seed `seed` goes through `n` examples.

    **Raises:** `ValueError`: a negative number.
    """
    for name, value in (("n", n), ("seed", seed), ("epoch", epoch)):
        if value < 0:
            raise ValueError(f"{name}: expected an integer >= 0, got {value}")
    # RandomState's streams are frozen: a run repeats with every version of NumPy.
    bits = np.random.MT19937(np.random.SeedSequence([seed, epoch]))
    return np.random.RandomState(bits).permutation(n).astype(np.int32)


class BatchSampler:
    """Which of `n` examples each step takes. Picklable; remembers the order of one epoch.

    **Arguments:**

    - `shuffle`: True: endless, each epoch in its own order, its last partial batch dropped. False:
        one pass in order, the last batch padded.
    - `part`: `(i, n)`, the i-th of n equal shares of each batch.

    **Raises:** `ValueError`: no examples, no batch size, or more than there are to shuffle; batches
    that can't be shared out.
    """

    def __init__(
        self, n: int, batch_size: int, *, seed: int, shuffle: bool, part: tuple[int, int] = (0, 1)
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size: expected an integer >= 1, got {batch_size}")
        if n < 1:
            raise ValueError("split: expected at least 1 example, got none")
        if shuffle and batch_size > n:
            raise ValueError(
                f"batch_size: expected at most {n}, the examples of the split, got {batch_size}"
            )
        if batch_size % part[1]:
            raise ValueError(
                f"batch_size: expected a multiple of {part[1]} processes, got {batch_size}"
            )
        self.n = n
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.steps_per_epoch = n // batch_size if shuffle else -(-n // batch_size)
        own = batch_size // part[1]
        self._own = slice(part[0] * own, (part[0] + 1) * own)
        self._order: tuple[int, np.ndarray] | None = None

    def indices(self, step: int) -> Int32[np.ndarray, " part"]:
        """Positions of step `step` (over all epochs), padded with -1 to the batch size: those of
        this part of them."""
        return self._all(step)[self._own]

    def _all(self, step: int) -> Int32[np.ndarray, " b"]:
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
