"""What operations become in a program that is compiled for the CPU in accelerated mode.

How they are served is loaded at the first one: jax may be loaded, and acceleration begin, in the
middle of loading what that needs.
"""

import functools
import importlib
import sys
from collections.abc import Callable

from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import mlir

from cnnlab.accelerate.service import PLATFORM, Serve, Service
from cnnlab.jax_internals import lowering_rule
from cnnlab.switch import mode


def _of(module: str, name: str) -> Serve:
    def serve(*types, **parameters) -> Service:
        loaded = importlib.import_module(f"cnnlab.accelerate.{module}")
        return getattr(loaded, name)(*types, **parameters)

    return serve


SERVED: dict[Primitive, Serve] = {
    lax.conv_general_dilated_p: _of("convolution", "serve"),
    lax.reduce_sum_p: _of("sums", "serve"),
    lax.reduce_window_max_p: _of("pooling", "serve_max"),
    lax.reduce_window_sum_p: _of("pooling", "serve_sum"),
    lax.select_and_scatter_add_p: _of("pooling", "serve_max_gradient"),
}


@functools.cache
def register() -> None:
    """Put cnnlab's rules before JAX's, which serve whatever these do not."""
    for primitive, serve in SERVED.items():
        rule = functools.partial(_rule, serve, lowering_rule(primitive, PLATFORM))
        mlir.register_lowering(primitive, rule, platform=PLATFORM)


def _rule(serve: Serve, original: Callable, ctx, *operands, **parameters):
    now = mode()
    if not now.on:
        return original(ctx, *operands, **parameters)
    reason = _refusal(ctx)
    compute, line = serve(*ctx.avals_in, **parameters) if reason is None else (None, reason)
    if now.verbose and line:
        print(line, file=sys.stderr)
    if compute is None:
        return original(ctx, *operands, **parameters)
    from cnnlab.ops.lowering import lowering

    return lowering(compute, False)(ctx, *operands)


def _refusal(ctx) -> str | None:
    """Why an operation stays XLA's, whichever it is."""
    program = ctx.module_context
    if program.lowering_parameters.for_export:
        return "XLA's own: an exported program"
    if len(program.platforms) > 1:
        return "XLA's own: a program for several platforms"
    if any(aval.sharding.spec.unreduced for aval in (*ctx.avals_in, *ctx.avals_out)):
        return "XLA's own: an array whose parts on the devices are still to be added up"
    return None
