"""A trace of a few steps, for Perfetto or TensorBoard's profiler."""

from pathlib import Path

import jax

from cnnlab.train.settings import TracedSteps
from cnnlab.train.training import Training


class Profile:
    """A callback that traces steps.

    **Arguments:** `folder`, where the trace goes; `steps`, which, or `None` for no trace.
    """

    def __init__(self, folder: Path, steps: TracedSteps | None) -> None:
        self._folder, self._steps, self._tracing = folder, steps, False

    def __call__(self, training: Training) -> None:
        if self._steps is None:
            return
        step = training.step
        if step in (self._steps.start - 1, self._steps.last):
            jax.block_until_ready(training.metrics)  # steps run on after their call
        if step == self._steps.start - 1:
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._tracing = True
        elif step == self._steps.last:
            self.close()

    def close(self) -> None:
        """Write the trace, if one is under way."""
        if self._tracing:
            jax.profiler.stop_trace()
            self._tracing = False
