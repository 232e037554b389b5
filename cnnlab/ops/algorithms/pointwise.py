"""A 1x1 convolution as one matrix product over the channels (A 5.1)."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.base import OWN_SUM, Algorithm, Domain, on_the_cpu
from cnnlab.ops.precision import product
from cnnlab.ops.problem import Problem


def _read(x: Array, problem: Problem) -> Array:
    return x[(slice(None), *(slice(None, None, s) for s in problem.stride))]


def _matrix(kernel: Array, problem: Problem) -> Array:
    return kernel.reshape(problem.in_channels, problem.out_channels)


def _forward(x: Array, kernel: Array, problem: Problem) -> Array:
    return product("...i,io->...o", _read(x, problem), _matrix(kernel, problem))


def _input_gradient(dy: Array, kernel: Array, problem: Problem) -> Array:
    dx = product("...o,io->...i", dy, _matrix(kernel, problem))
    # Between the positions that were read, and after the last of them, nothing arrives.
    sizes = zip(problem.spatial, problem.out, problem.stride, strict=True)
    between = ((0, n - (out - 1) * s - 1, s - 1) for n, out, s in sizes)
    return lax.pad(dx, jnp.zeros((), dx.dtype), ((0, 0, 0), *between, (0, 0, 0)))


def _kernel_gradient(x: Array, dy: Array, problem: Problem) -> Array:
    rows = _read(x, problem).reshape(-1, problem.in_channels)
    gradient = product("ni,no->io", rows, dy.reshape(-1, problem.out_channels))
    return gradient.reshape(problem.kernel_shape)


def _refusal(problem: Problem) -> str | None:
    if problem.taps != 1:
        return f"the kernel size is {problem.kernel_size}, not 1 along every axis"
    if problem.groups > 1:
        return f"it has {problem.groups} groups, not 1"
    if any(pair != (0, 0) for pair in problem.padding):
        return f"it is padded by {problem.padding}"
    return None


POINTWISE = Algorithm(
    name="pointwise",
    source="A 5.1",
    refusal=_refusal,
    forward=_forward,
    errors=OWN_SUM,
    multiply_adds=lambda problem: problem.multiply_adds,
    extra_memory=lambda problem: 0,
    input_gradient=_input_gradient,
    kernel_gradient=_kernel_gradient,
    nanoseconds=on_the_cpu(lambda problem, which: problem.multiply_adds / 19.5),
    direct=lambda problem, which, platform: True,
    domain=Domain(kernel_size=1, padded=False, grouped=False),
)
