"""The chapter's recipe, unfold and a product, in two libraries; and what is compared exactly."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cnnlab import ops
from cnnlab.bench import contenders as routes
from cnnlab.bench.contenders import Contender, Operands
from cnnlab.bench.geometries import random_problem

# The chapter's recipe as one would write it, by the library that it is written in.
RECIPES = {"unfold (JAX)": "lax", "unfold (PyTorch)": "torch"}


def recipes(problem: ops.Problem, arrays: Operands, *, torch: bool) -> dict[str, Contender]:
    """The recipes: that in PyTorch where its unfold can serve, for images with the same padding on
    both sides."""
    found = [in_jax(problem, arrays)]
    if torch and problem.rank == 2 and all(low == high for low, high in problem.padding):
        found.append(in_torch(problem, arrays))
    return dict(zip(RECIPES, found, strict=False))


def in_jax(problem: ops.Problem, arrays: Operands) -> Contender:
    groups, window = problem.groups, problem.window

    @jax.jit
    def forward(x: Array, kernel: Array) -> Array:
        columns = ops.unfold(x, window.size, **window.arguments)
        if groups == 1:
            return columns @ kernel.reshape(-1, problem.out_channels)
        columns = columns.reshape(*columns.shape[:-1], problem.taps, groups, -1)
        weights = kernel.reshape(problem.taps, -1, groups, problem.out_channels // groups)
        return jnp.einsum("...tgi,tigo->...go", columns, weights).reshape(problem.y_shape)

    run = functools.partial(forward, jnp.asarray(arrays.x), jnp.asarray(arrays.kernel))
    return Contender({"forward": run}, lambda result: tuple(map(np.asarray, result)))


def in_torch(problem: ops.Problem, arrays: Operands) -> Contender:
    import torch
    from torch.nn import functional as F

    x, kernel = (torch.from_numpy(a) for a in routes.channels_first(arrays)[:2])
    matrices = kernel.reshape(problem.groups, problem.out_channels // problem.groups, -1)
    window = problem.window.arguments | {"padding": [low for low, _ in problem.padding]}

    def forward() -> Any:
        with torch.inference_mode():
            columns = F.unfold(x, problem.kernel_size, **window)
            columns = columns.reshape(problem.batch, problem.groups, -1, columns.shape[-1])
            product = (matrices @ columns).reshape(problem.batch, problem.out_channels, -1)
            return F.fold(product, problem.out, (1, 1))

    restore = lambda result: tuple(np.moveaxis(y.numpy(), 1, -1) for y in result)
    return Contender({"forward": forward}, restore)


def in_zeros(problem: ops.Problem) -> Callable[[Array, Array], Array]:
    """lax's convolution of an image in a border of zeros. The gradient of its own padding is wrong
    where that reaches beyond the kernel before an axis, but not behind it (jaxlib 0.10.1)."""
    window = dataclasses.replace(problem.window, padding=((0, 0),) * problem.rank)
    inside = routes.lax_convolution(dataclasses.replace(problem, window=window))
    border = ((0, 0), *problem.padding, (0, 0))
    return lambda x, kernel: inside(jnp.pad(x, border), kernel)


def compare(rng: np.random.Generator, *, torch: bool) -> list[dict[str, Any]]:
    """A random convolution of whole numbers, on which everything is exact in float32: how many
    entries differ, of how many that were compared, for each pair of what should be equal (with
    PyTorch, its recipe beside its own convolution and lax's, too)."""
    problem = random_problem("lax", rng)
    while problem.groups > 1:
        problem = random_problem("lax", rng)
    integers = lambda shape: rng.integers(-3, 4, shape).astype(np.float32)
    arrays = Operands(*map(integers, (problem.x_shape, problem.kernel_shape, problem.y_shape)))
    p = integers((*problem.y_shape[:-1], problem.taps * problem.in_channels))
    window, geometry = problem.kernel_size, problem.window.arguments

    @jax.jit
    def pairs(x: Array, kernel: Array, dy: Array, p: Array) -> dict[str, list[tuple[Array, Array]]]:
        y = routes.lax_convolution(problem)(x, kernel)
        dx, dkernel = jax.vjp(in_zeros(problem), x, kernel)[1](dy)
        unfold = lambda x: ops.unfold(x, window, **geometry)
        fold = lambda p: ops.fold(p, problem.spatial, window, **geometry)
        matrix, columns = kernel.reshape(-1, problem.out_channels), unfold(x)
        product = columns @ matrix
        own = columns.reshape(-1, columns.shape[-1]).T @ dy.reshape(-1, problem.out_channels)
        again, reads = fold(columns), fold(unfold(jnp.ones_like(x)))
        return {
            "product": [(product, y)],
            "transpose": [((columns * p).sum(), (x * fold(p)).sum())],
            "gradients": [(fold(dy @ matrix.T), dx), (own.reshape(kernel.shape), dkernel)],
            "counts": [(again, reads * x)],
            "undoes": [(again, x)],
            "reassembled": [(ops.fold(product, problem.out, (1,) * problem.rank), y)],
        }

    found = dict(pairs(*arrays, p))
    written = recipes(problem, arrays, torch=torch)
    if "unfold (PyTorch)" in written:
        library = routes.contenders(problem, arrays, [], ["torch"])["torch"]
        [y], [expected] = (c.result("forward") for c in (written["unfold (PyTorch)"], library))
        found["product"] += [(y, expected), (y, found["product"][0][1])]
    rows = []
    for what, of in found.items():
        differ = np.concatenate([np.ravel(np.not_equal(*pair)) for pair in of])
        rows.append({"what": what, "compared": differ.size, "differ": int(differ.sum())})
    return rows
