"""Run a script, or with -m a module, accelerated: a program that knows nothing of cnnlab.

python -m cnnlab.accelerate [--verbose] script.py ARGS
python -m cnnlab.accelerate [--verbose] -m module ARGS
"""

import os
import runpy
import sys
from collections.abc import Sequence

from cnnlab.accelerate.startup import with_jax
from cnnlab.console import program, unread

REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; as Python itself does, but that it is accelerated.

    **Returns:** the exit status, where the program does not exit by itself.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = given[:1] == ["--verbose"]
    given = given[verbose:]
    module = given[:1] == ["-m"]
    given = given[module:]
    if not given or given[0].startswith("-"):
        wanted = "[--verbose] script.py ARGS, or [--verbose] -m module ARGS"
        asked = given[:1] in (["-h"], ["--help"])
        try:
            print(f"usage: {program()} {wanted}", file=sys.stdout if asked else sys.stderr)
            sys.stdout.flush()
        except BrokenPipeError:
            return unread()
        return 0 if asked else REFUSED
    name = given[0]
    if not module and not os.path.exists(name):
        print(f"error: {name}: no such script", file=sys.stderr)
        return REFUSED
    with_jax(verbose)
    sys.argv = given
    if module:
        sys.path[0] = os.getcwd()
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(name))
        runpy.run_path(name, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
