"""Runs a command, and ends it with all that it started as soon as whoever asked for it is gone.

    python attended.py SECONDS COMMAND...

Who asks holds the other end of standard input, which the system closes however that process ends.
A program of its own, in a session of its own: a signal to the one who asks does not reach it.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """The exit status of the command, which may take so many seconds."""
    command = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, process_group=0)

    def attend() -> None:
        os.read(0, 1)
        os.killpg(command.pid, signal.SIGKILL)

    threading.Thread(target=attend, daemon=True).start()
    try:
        return abs(command.wait(float(sys.argv[1])))
    except subprocess.TimeoutExpired:
        os.killpg(command.pid, signal.SIGKILL)
        print(f"error: ended after {sys.argv[1]} s", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    status = main()
    # At once: the thread may not outlive the command, whose number the system may give to another.
    os._exit(status)
