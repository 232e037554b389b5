"""A polite end: Ctrl-C, SIGTERM or a closed terminal asks, and the loop stops after its step."""

import signal
import threading
from types import FrameType


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
