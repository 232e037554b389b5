"""How cnnlab's primitives run and become programs."""

import functools
from collections.abc import Callable

import jax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir

from cnnlab.jax_internals import cut_for, dispatch, knowing
from cnnlab.ops.native.partition import for_devices
from cnnlab.switch import by_jax

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
# In the place of a platform: a program that is written down for machines unknown.
EXPORT = "export"


def register(primitive: Primitive, abstract: Callable, compute: Callable) -> None:
    """What a primitive gives, and how it is computed.

    **Arguments:**

    - `abstract`: `(*types, **params) -> type` (or a list of them).
    - `compute`: `(platform, *arrays, **params)`, written in JAX. The platform is one of
      `PLATFORMS`, `"other"` or `EXPORT`.
    """
    # Not by a jitted `bind`, which under `jax.disable_jit` would come here again.
    primitive.def_impl(functools.partial(dispatch.apply_primitive, primitive))
    primitive.def_abstract_eval(abstract)
    exported = lowering(functools.partial(compute, EXPORT), primitive.multiple_results)
    for platform in (*PLATFORMS, None):
        here = functools.partial(compute, platform or "other")
        rule = functools.partial(_lower, lowering(here, primitive.multiple_results), exported)
        mlir.register_lowering(primitive, rule, platform=platform)


def _lower(here: Callable, exported: Callable, ctx, *args, **params):
    for_export = ctx.module_context.lowering_parameters.for_export
    return (exported if for_export else here)(ctx, *args, **params)


def lowering(compute: Callable, several: bool) -> Callable:
    """A lowering rule made of what is written in JAX, with one result or several.

    In it arrays have no mesh: where they are is settled, and algorithms know nothing of explicit or
    manual axes. A convolution of JAX's in it is JAX's, also in a program that is accelerated.
    """
    lower = mlir.lower_fun(compute, several)

    def rule(ctx, *args, **params):
        plain = [ShapedArray(aval.shape, aval.dtype) for aval in ctx.avals_in]
        devices = cut_for(ctx.module_context)
        known = ctx.replace(avals_in=plain, module_context=knowing(ctx.module_context, devices))
        no_mesh = jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ()))
        with by_jax(), no_mesh, for_devices(devices):
            return lower(known, *args, **params)

    return rule
