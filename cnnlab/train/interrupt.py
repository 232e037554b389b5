"""A polite end: Ctrl-C, SIGTERM or a closed terminal asks, and the loop stops after its step."""

import collections
import signal
import threading
from types import FrameType

import jax
import numpy as np

from cnnlab.train.parallel import Runtime

_LAG = 2  # steps: the answer is there by then, and the devices have work


class Interrupt:
    """While entered, the first SIGINT, SIGTERM or SIGHUP sets `asked`; a second one stops at once.

    A SIGHUP that is ignored (`nohup`) stays ignored, and one that follows another signal counts
    once with it: a closed terminal may send several.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    CLOSED = getattr(signal, "SIGHUP", None)

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Interrupt":
        # Python delivers signals to the main thread only; elsewhere there is nothing to catch.
        if threading.current_thread() is threading.main_thread():
            signals = list(self.SIGNALS)
            if self.CLOSED is not None and signal.getsignal(self.CLOSED) != signal.SIG_IGN:
                signals.append(self.CLOSED)
            self._before = {s: signal.signal(s, self._ask) for s in signals}
        else:
            self._before = {}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number != self.CLOSED:
            raise KeyboardInterrupt
        self.asked = True


class Vote:
    """Whether a process was asked to stop: in all processes of a run at the same step.

    The question goes over all devices, as the steps do, and its answer is read two steps later, so
    that nothing waits for it.

    **Arguments:** `runtime`, whose processes vote; None: this one alone.
    """

    def __init__(self, runtime: Runtime | None) -> None:
        several = runtime is not None and runtime.processes.count > 1
        self._runtime = runtime if several else None
        self._cast: collections.deque[jax.Array | np.ndarray] = collections.deque()

    def after_step(self, asked: bool) -> bool:
        """Whether to stop here."""
        if self._runtime is None:
            return asked
        self._cast.append(self._runtime.any(asked))
        return len(self._cast) > _LAG and bool(self._cast.popleft())

    def at_end(self, asked: bool) -> bool:
        """Whether any process was asked so far."""
        if self._runtime is None:
            return asked
        self._cast.append(self._runtime.any(asked))
        return any([bool(vote) for vote in self._cast])
