"""A convolution, its bias and its activation as one call, which some algorithms do in one pass.

`y = f(conv(x, k) + b)`. Its derivative is made of the convolution's own primitives, so every
transformation of those works here too; what is fused is the forward pass.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import batching
from jaxtyping import Array

from cnnlab.ops.choice import choose
from cnnlab.ops.lowering import register
from cnnlab.ops.precision import add_bias, last_axes
from cnnlab.ops.primitive import abstract_result, bind, vary_alike
from cnnlab.ops.problem import Problem

ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda y: y,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
}

FUSED_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name is not None)

_primitive = Primitive("conv_bias")


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4, 5))
def conv_bias(
    x: Array, kernel: Array, bias: Array, problem: Problem, algorithm: str, activation: str | None
) -> Array:
    """`activation(conv(x, kernel) + bias)` of arguments already checked, all of one type.

    `x` is `(batch, *spatial, c_in)`, `bias` `(c_out,)`, `activation` a key of `ACTIVATIONS`.
    """
    x, kernel, bias = vary_alike(x, kernel, bias)
    return _primitive.bind(
        x, kernel, bias, problem=problem, algorithm=algorithm, activation=activation
    )


@functools.partial(conv_bias.defjvp, symbolic_zeros=True)
def _jvp(problem: Problem, algorithm: str, activation: str | None, primals, tangents):
    x, kernel, _ = primals
    # By position: with keywords JAX's own checks (jax_enable_checks) fail.
    run = lambda activation: conv_bias(*primals, problem, algorithm, activation)
    conv = functools.partial(_conv, problem=problem, algorithm=algorithm)
    tx, tk, tb = (None if isinstance(t, SymbolicZero) else t for t in tangents)
    tangent = jnp.zeros(problem.y_shape, problem.dtype)
    if tx is not None:
        tangent = conv(tx, kernel)
    if tk is not None:
        tangent = conv(x, tk) + tangent
    if tb is not None:
        tangent = add_bias(tangent, tb)
    if activation == "gelu":  # its slope is not known from its value
        return jax.jvp(jax.nn.gelu, (run(None),), (tangent,))
    y = run(activation)
    return y, tangent if activation is None else jnp.where(y > 0, tangent, 0)


def _conv(x: Array, kernel: Array, *, problem: Problem, algorithm: str) -> Array:
    return bind("forward", x[None], kernel[None], problem, algorithm)[0]


def _apart(x, kernel, bias, *, problem: Problem, algorithm: str, activation: str | None) -> Array:
    """The same one after the other."""
    y = _conv(x, kernel, problem=problem, algorithm=algorithm)
    return ACTIVATIONS[activation](y + last_axes(bias, y.ndim))


def _abstract(x, kernel, bias, *, problem: Problem, **_) -> ShapedArray:
    expected = problem.x_shape, problem.kernel_shape, problem.kernel_shape[-1:]
    for value, shape in zip((x, kernel, bias), expected, strict=True):
        if value.shape != shape or value.dtype != problem.dtype:
            raise TypeError(f"conv_bias: {value.str_short()} is not of {problem}")
    return abstract_result(x, problem.y_shape, kept=1)


def _batch(args: tuple, axes: tuple, *, problem: Problem, **params):
    """More examples are a larger batch; anything else goes one after the other."""
    x, kernel, bias = args
    if axes[1:] != (None, None):
        run = functools.partial(_apart, problem=problem, **params)
        return jax.vmap(run, in_axes=axes)(*args), 0
    x = jnp.moveaxis(x, axes[0], 0)
    size = x.shape[0]
    merged = replace(problem, batch=size * problem.batch)
    y = _primitive.bind(x.reshape(merged.x_shape), kernel, bias, problem=merged, **params)
    return y.reshape(size, *problem.y_shape), 0


def _compute(platform: str, x, kernel, bias, *, problem: Problem, algorithm: str, activation):
    if problem.batch == 0:
        return jnp.zeros(problem.y_shape, problem.dtype)
    chosen = choose(algorithm, problem, "forward", platform)
    with jax.named_scope(f"forward_{chosen.name}"):
        if chosen.fused is not None:
            return chosen.fused(x, kernel, bias, problem, activation)
        y = chosen.compute("forward", x, kernel, problem)
        return ACTIVATIONS[activation](y + last_axes(bias, y.ndim))


register(_primitive, _abstract, _compute)
batching.primitive_batchers[_primitive] = _batch
