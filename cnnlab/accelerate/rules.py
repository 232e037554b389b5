"""What the operations of a program become that is compiled for the CPU in accelerated mode."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jax import lax
from jax.core import ShapedArray
from jax.interpreters import mlir
from jaxtyping import Array

from cnnlab.accelerate.reading import Reading
from cnnlab.accelerate.recognition import recognise
from cnnlab.accelerate.switch import Mode, in_mode, mode
from cnnlab.jax_internals import lowering_rule, partitioned
from cnnlab.ops import REFERENCE
from cnnlab.ops.choice import check, choose
from cnnlab.ops.lowering import lowering
from cnnlab.ops.native import not_partitioned
from cnnlab.ops.primitive import compute
from cnnlab.ops.table import key

PLATFORM = "cpu"


@functools.cache
def register() -> None:
    """Put cnnlab's rules before JAX's, which serve whatever these do not."""
    primitive = lax.conv_general_dilated_p
    own = functools.partial(_convolution, lowering_rule(primitive, PLATFORM))
    mlir.register_lowering(primitive, own, platform=PLATFORM)


def serve(
    operands: Sequence[ShapedArray], parameters: dict[str, Any]
) -> tuple[Reading | None, str]:
    """Of a convolution of JAX's, which of cnnlab's it is, or None where XLA's own serves it; and
    that in a line."""
    reading = recognise(*operands, **parameters)
    if isinstance(reading, str):
        return None, f"XLA: {reading}"
    what = f"{reading.which.replace('_', ' ')} of {key(reading.problem)}"
    name = algorithm(reading)
    return (None if name == REFERENCE else reading), f"{name}: {what}"


def algorithm(reading: Reading) -> str:
    """The name of the algorithm that serves."""
    asked = check("direct" if reading.direct else "auto", reading.problem)
    return choose(asked, reading.problem, reading.which, PLATFORM).name


def _convolution(original: Callable, ctx, *operands, **parameters):
    now = mode()
    if not now.on:
        return original(ctx, *operands, **parameters)
    reading, line = None, _refusal(ctx)
    if line is None:
        reading, line = serve(ctx.avals_in, parameters)
    if now.verbose:
        print(line, file=sys.stderr)
    if reading is None:
        return original(ctx, *operands, **parameters)

    def run(lhs: Array, rhs: Array) -> Array:
        y = reading.compute(lhs, rhs, functools.partial(_run, algorithm(reading)))
        return y.astype(ctx.avals_out[0].dtype)

    # An algorithm that has a convolution of JAX's in it gets JAX's.
    with in_mode(Mode(on=False)), not_partitioned():
        return lowering(run, False)(ctx, *operands)


def _run(name, which, a, b, problem):
    return compute(which, PLATFORM, a, b, problem=problem, algorithm=name)


def _refusal(ctx) -> str | None:
    """Why a program stays XLA's."""
    if ctx.module_context.lowering_parameters.for_export:
        return "XLA: it is exported"
    if len(ctx.module_context.platforms) > 1:
        return "XLA: it is for several platforms"
    if partitioned(ctx.module_context):
        return "XLA: it is partitioned over several devices"
    return None
