"""Ctrl-C for a whole command, wherever it comes."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

INTERRUPTED = 130


class Interrupts:
    """Whether Ctrl-C was pressed: other code may make another error of a `KeyboardInterrupt`."""

    def __init__(self) -> None:
        self.pressed = False

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Ctrl-C raises `KeyboardInterrupt`, and is sent again where Python drops it (a callback).

        While a module loads, where packages catch it and there is nothing to clean up, the process
        ends at once.
        """
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if ignored or threading.current_thread() is not threading.main_thread():
            yield
            return
        before, hook = signal.signal(signal.SIGINT, self._interrupt), sys.unraisablehook

        def dropped(what: Any) -> None:
            if what.exc_type is KeyboardInterrupt:
                again = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
                again.daemon = True
                again.start()
            else:
                hook(what)

        sys.unraisablehook = dropped
        try:
            yield
        finally:
            sys.unraisablehook = hook
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, number: int, frame: Any) -> None:
        self.pressed = True
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                os.write(2, b"interrupted\n")
                os._exit(INTERRUPTED)
            frame = frame.f_back
        raise KeyboardInterrupt
