"""Streaming through Grain: one element of the Grain data set is one whole batch.

A step's batch is a pure function of the step, so Grain's own slicing among worker processes keeps
the order, and resuming is starting at another step.
"""

import contextlib
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator

import grain
import numpy as np
from absl import flags

from cnnlab.data.batches import Batch, BatchSampler
from cnnlab.data.perturb import Perturbation, Perturbed
from cnnlab.data.splits import Split

_THREADS = 2
_AHEAD = 4


class BatchSource:
    """Random access to the batches of a run from `start_step`; what Grain sends to its workers."""

    def __init__(
        self,
        split: Split,
        sampler: BatchSampler,
        start_step: int,
        perturbations: tuple[Perturbation, ...] = (),
    ):
        self.split = split
        self.sampler = sampler
        self.perturbations = perturbations
        self.steps = sampler.steps(start_step)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Batch:
        step = self.steps[index]
        places = self.sampler.indices(step)
        taken = np.maximum(places, 0)
        if self.perturbations:
            epoch = step // self.sampler.steps_per_epoch
            change = Perturbed(self.perturbations, self.sampler.seed, epoch)
            image, label = self.split.perturbed(taken, change)
        else:
            image, label = self.split.take(taken)
        return Batch(image, label, places)

    def __repr__(self) -> str:
        return f"BatchSource({len(self.split)} examples by {self.sampler.batch_size})"


def stream(
    split: Split,
    sampler: BatchSampler,
    start_step: int,
    workers: int,
    perturbations: tuple[Perturbation, ...] = (),
) -> Generator[Batch, None, None]:
    """Batches from `start_step`, read ahead. Closing the generator ends threads and workers."""
    source = BatchSource(split, sampler, start_step, perturbations)
    if not len(source):
        return
    # Grain reads its settings from absl's flags, which only an absl program has parsed.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    dataset = grain.MapDataset.source(source).to_iter_dataset(
        grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    )
    if workers:
        # Through pipes: shared memory would outlive a process that is killed.
        pipes = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)
        dataset = grain.experimental.WithOptionsIterDataset(dataset, pipes).mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2),
            worker_init_fn=_end_with_parent,
        )
    beginning = _undisturbed if workers else contextlib.nullcontext
    with beginning():
        batches = iter(dataset)
    try:
        with beginning():
            first = next(batches)  # this is when the workers begin
        yield first
        yield from batches
    finally:
        batches.close()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes that begin in here never see Ctrl-C or a closed terminal, which are sent to all.

    The first process answers to them, and ends its workers when it has written its checkpoint.
    """
    signals = {getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        # Begun here, where it inherits the mask; it then unblocks some of what was blocked. When a
        # run is killed it removes the locks of Grain's queues: no need to say so on the terminal.
        sys.warnoptions.append("ignore:resource_tracker")
        try:
            multiprocessing.resource_tracker.ensure_running()
        finally:
            sys.warnoptions.pop()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent(index: int, count: int) -> None:
    """What a worker does first: see to it that it ends when its parent does, however that was."""
    del index, count
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for, args=(parent.sentinel,), daemon=True).start()


def _wait_for(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
