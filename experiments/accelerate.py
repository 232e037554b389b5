"""Run a script of yours, Flax's, Keras's or anyone's, with its convolutions computed by cnnlab.

cnnlab accelerate [--verbose] script.py ARGS
cnnlab accelerate [--verbose] -m module ARGS
"""

import sys

from cnnlab.accelerate.__main__ import main as run


def main() -> int:
    for name in ("experiments.accelerate", "experiments"):  # the script may have its own
        sys.modules.pop(name, None)
    return run()


if __name__ == "__main__":
    sys.exit(main())
