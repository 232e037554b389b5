"""Streaming through Grain: one element of the Grain data set is one whole batch.

A step's batch is a pure function of the step, so Grain's own slicing among worker processes keeps
the order, and resuming is starting at another step.
"""

from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from cnnlab.data.batches import Batch, Schedule
from cnnlab.data.splits import Split

_THREADS = 2
_AHEAD = 4


class BatchSource:
    """Random access to the batches of a run from `start_step`; what Grain sends to its workers."""

    def __init__(self, split: Split, schedule: Schedule, start_step: int):
        self.split = split
        self.schedule = schedule
        self.steps = schedule.steps(start_step)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, position: int) -> Batch:
        index = self.schedule.indices(self.steps[position])
        image, label = self.split.take(np.maximum(index, 0))
        return Batch(image, label, index)

    def __repr__(self) -> str:
        return f"BatchSource({len(self.split)} examples by {self.schedule.batch_size})"


def stream(split: Split, schedule: Schedule, start_step: int, workers: int) -> Iterator[Batch]:
    """Batches from `start_step`, read ahead. Closing the generator ends threads and workers."""
    source = BatchSource(split, schedule, start_step)
    if not len(source):
        return
    # Grain reads its settings from absl's flags, which only an absl program has parsed.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    dataset = grain.MapDataset.source(source).to_iter_dataset(
        grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    )
    if workers:
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        )
    batches = iter(dataset)
    try:
        for batch in batches:
            # Out of the memory shared with the workers, which is freed with Grain's own array.
            yield Batch(*map(np.array, batch)) if workers else batch
    finally:
        batches.close()
