"""Training from a state on: the steps, and what is called after each.

All training is made of these steps: `fit` in memory, the loop of a run directory, the studies of
the lab, the benchmarks.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Float

from cnnlab.data.loaders import Loader
from cnnlab.errors import CnnlabError
from cnnlab.train.parallel import Compiled, Runtime
from cnnlab.train.state import TrainState
from cnnlab.train.step import Metrics, Prepare, Step


class NonFiniteLoss(CnnlabError):
    """The loss became NaN or infinite; the message names the step."""


class Training:
    """Steps from a state on. To be closed at the end, or used in a `with`: batches may be read by
    other processes.

    **Attributes:**

    - `step`: the number of steps made, those before its first state included.
    - `metrics`: of the last one: arrays that may still be at work.
    """

    step: int
    metrics: Metrics

    def __init__(
        self, runtime: Runtime, compiled: Compiled, state: TrainState, batches: Loader
    ) -> None:
        self.step, self.metrics = int(state.step), {}
        self._runtime, self._compiled, self._like = runtime, compiled, state
        self._arrays, self._resident = runtime.place(state), runtime.replicate(batches.resident)
        self._handles = batches.handles(self.step)

    def advance(self) -> Metrics:
        """Make the next step: its metrics."""
        handle = self._runtime.spread(next(self._handles))
        self._arrays, self.metrics = self._compiled(self._arrays, self._resident, handle)
        self.step += 1
        return self.metrics

    def upto(self, steps: int, callbacks: "Sequence[Callback]" = ()) -> None:
        """Make the steps up to number `steps` and call every callback after each: one that returns
        True ends them there."""
        while self.step < steps:
            self.advance()
            if any([callback(self) for callback in callbacks]):
                return

    def state(self) -> TrainState:
        """After the last step."""
        return self._runtime.fetch(self._arrays, self._like)

    def close(self) -> None:
        """End the processes that read batches."""
        self._handles.close()

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


Callback = Callable[[Training], bool | None]


class Trainer:
    """Trains by steps of one kind, compiled once for all states that differ in their arrays only:
    for several seeds, say.

    **Arguments:**

    - `step`: `(state, batch) -> (state, metrics)`, from `make_train_step`.
    - `prepare`: `(raw batch, key, step) -> batch`, such as from `make_prepare`.
    - `runtime`: where the steps run.
    """

    def __init__(self, step: Step, prepare: Prepare, runtime: Runtime) -> None:
        self._step, self._prepare, self._runtime = step, prepare, runtime
        self._compiled: Compiled | None = None

    def start(self, state: TrainState, batches: Loader) -> Training:
        """The training from `state` on, which gives up its arrays.

        **Arguments:** `batches`, from `data.loader`: those of the steps that are to come are taken.
        """
        if self._compiled is None:
            compile = self._runtime.compile
            self._compiled = compile(self._step, self._prepare, batches.fetch, state)
        return Training(self._runtime, self._compiled, state, batches)


class History:
    """A callback that keeps the metrics of each step."""

    def __init__(self) -> None:
        self._metrics: list[Metrics] = []

    def __call__(self, training: Training) -> None:
        self._metrics.append(training.metrics)

    def arrays(self) -> dict[str, Float[np.ndarray, " steps"]]:
        """Each by its name, in the order of the steps."""
        metrics = jax.device_get(self._metrics)
        names = metrics[0] if metrics else ()
        return {name: np.asarray([one[name] for one in metrics]) for name in names}
