"""Entry points, one question each: `python -m experiments.<name> --help`."""

import os
import signal
import sys


def _stop(number: int, frame: object) -> None:
    os.write(sys.__stderr__.fileno(), b"interrupted\n")
    os._exit(130)


# While the modules of a command load there is nothing to clean up, and a traceback tells nothing.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _stop)

# A question is a command, too: `python -m experiments.toeplitz` is `questions/toeplitz.py`.
__path__.append(f"{__path__[0]}/questions")
