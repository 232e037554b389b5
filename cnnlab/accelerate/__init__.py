"""cnnlab's algorithms under the convolutions, poolings and long sums of any JAX program that runs
on the CPU: Flax's, Keras's, Equinox's, plain `lax`'s.

    cnnlab.accelerate()                    # whatever this process compiles from now on
    with cnnlab.accelerated(): ...         # whatever this thread compiles in the block
    python -m cnnlab.accelerate script.py  # a script that knows nothing of cnnlab

The package is itself the function `accelerate`. It loads jax at the first call.
"""

import sys
from contextlib import AbstractContextManager
from types import ModuleType

__all__ = ["accelerate", "accelerated"]


def accelerate(on: bool = True, *, verbose: bool = False) -> None:
    """Run convolutions of programs that are compiled from now on by cnnlab's algorithms.

    In all threads, but for those in an `accelerated` block. Programs that are compiled by then keep
    their code; a jitted function that is called again gets a program of its own for each mode.

    **Arguments:**

    - `on`: False: as if it had never been called.
    - `verbose`: a line to standard error about each convolution that is compiled: the algorithm
      that serves it, and what it was recognised as; or why XLA's own does.
    """
    from cnnlab.accelerate.rules import register
    from cnnlab.switch import Mode, set_mode

    register()
    set_mode(Mode(on, verbose))


def accelerated(on: bool = True, *, verbose: bool = False) -> AbstractContextManager[None]:
    """The same for what this thread compiles in a block: `with cnnlab.accelerated(): ...`.

    Around calls, not within a function that is jitted: that is compiled after the block.
    """
    from cnnlab.accelerate.rules import register
    from cnnlab.switch import Mode, in_mode

    register()
    return in_mode(Mode(on, verbose))


class _Callable(ModuleType):
    def __call__(self, on: bool = True, *, verbose: bool = False) -> None:
        accelerate(on, verbose=verbose)


sys.modules[__name__].__class__ = _Callable
