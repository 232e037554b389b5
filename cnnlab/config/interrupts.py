"""Ctrl-C for a whole command, wherever it comes."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130
_PAUSE = 0.05  # seconds before it is sent again


class Interrupts:
    """What is known of Ctrl-C.

    **Attributes:** `pressed`, whether it was: other code may make another error of a
    `KeyboardInterrupt`; `idle`, whether nothing is at work that would have to be cleaned up: the
    process ends at once then, before Hydra makes several lines of it.
    """

    def __init__(self) -> None:
        self.pressed = self.idle = False
        self._sent_again = self._dropping = False

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Ctrl-C raises `KeyboardInterrupt`, and again until that ends the command.

        Python drops what is raised in a callback (`__del__`, a call from C), and C code what it
        does not expect; so it is sent again, though not while an exception is on its way: what
        cleans up is not disturbed. Once it is sent to whoever takes Ctrl-C in our place (the
        training loop), that is all. While a module loads, where packages catch it and there is
        nothing to clean up, the process ends at once.
        """
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if ignored or threading.current_thread() is not threading.main_thread():
            yield
            return
        reader, self._bell = os.pipe()
        ended = threading.Event()
        again = threading.Thread(target=self._send_again, args=(reader, ended), daemon=True)
        again.start()
        before, hook = signal.signal(signal.SIGINT, self._interrupt), sys.unraisablehook

        def dropped(what: "sys.UnraisableHookArgs") -> None:
            self._dropping = True
            try:
                self._ring() if what.exc_type is KeyboardInterrupt else hook(what)
            finally:
                self._dropping = False

        sys.unraisablehook = dropped
        try:
            yield
        finally:
            ended.set()
            self._ring()
            again.join()  # nothing is sent from here on
            sys.unraisablehook = hook
            signal.signal(signal.SIGINT, before)
            os.close(self._bell)
            os.close(reader)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        sent_again, self._sent_again = self._sent_again, False
        self.pressed = True
        self._ring()
        while frame is not None:
            if self.idle or frame.f_code.co_filename.startswith("<frozen importlib"):
                os.write(2, b"interrupted\n")
                os._exit(INTERRUPTED)
            frame = frame.f_back
        on_its_way = sent_again and sys.exc_info()[0] is not None
        if not (on_its_way or self._dropping):  # raised there, it would be dropped again
            raise KeyboardInterrupt

    def _ring(self) -> None:
        os.write(self._bell, b"!")  # takes no lock: a handler may come while another is at it

    def _send_again(self, reader: int, ended: threading.Event) -> None:
        while os.read(reader, 1) and not ended.wait(_PAUSE):
            self._sent_again = True
            os.kill(os.getpid(), signal.SIGINT)
