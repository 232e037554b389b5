"""Measurements of `from_scratch`: unfold and fold compared exactly, and the chapter's recipe."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from cnnlab import ops
from cnnlab.bench import contenders as routes
from cnnlab.bench.geometries import random_problem
from cnnlab.ops import Problem

# Names of the chapter's recipe, in each library.
RECIPE, TORCH_RECIPE = "unfold (JAX)", "unfold (PyTorch)"
_SPATIAL = {1: "H", 2: "HW", 3: "DHW"}


def equalities(rng: np.random.Generator, *, torch: bool) -> dict[str, list[int]]:
    """A random convolution of whole numbers, on which everything is exact in float32: how many
    entries differ, of how many that were compared, for

    - `product`: `unfold(x) W` and lax's convolution; with PyTorch's functions, too.
    - `transpose`: `<unfold(x), p>` and `<x, fold(p)>`.
    - `gradients`: `fold(dy W^T)`, `unfold(x)^T dy` and lax's gradients in input and kernel.
    - `counts`: `fold(unfold(x))` and `x` times the number of windows that read it.
    - `undoes`: `fold(unfold(x))` and `x` itself.
    - `reassembled`: `fold` with windows of size 1 of the product's columns and the output.
    """
    problem = random_problem("lax", rng)
    while problem.groups > 1:
        problem = random_problem("lax", rng)
    integers = lambda shape: jnp.asarray(rng.integers(-3, 4, shape), jnp.float32)
    x, kernel, dy = (integers(s) for s in (problem.x_shape, problem.kernel_shape, problem.y_shape))
    geometry = {"stride": problem.stride, "padding": problem.padding, "dilation": problem.dilation}
    window = problem.kernel_size
    matrix = kernel.reshape(-1, problem.out_channels)
    unfold = lambda a: ops.unfold(a, window, **geometry)
    fold = lambda p: ops.fold(p, problem.spatial, window, **geometry)

    @jax.jit
    def pairs(x: Array, kernel: Array, dy: Array, p: Array) -> dict[str, list[tuple[Array, Array]]]:
        y, transposed = jax.vjp(functools.partial(_lax, problem), x, kernel)
        dx, dkernel = transposed(dy)
        columns = unfold(x)
        product = columns @ matrix
        rows = columns.reshape(-1, columns.shape[-1])
        own = rows.T @ dy.reshape(-1, problem.out_channels)
        again, reads = fold(columns), fold(unfold(jnp.ones_like(x)))
        ones = (1,) * problem.rank
        return {
            "product": [(product, y)],
            "inner": [(columns * p, x * fold(p))],
            "gradients": [(fold(dy @ matrix.T), dx), (own.reshape(kernel.shape), dkernel)],
            "counts": [(again, reads * x)],
            "undoes": [(again, x)],
            "reassembled": [(ops.fold(product, problem.out, ones), y)],
        }

    like = jax.eval_shape(unfold, x)
    found = dict(pairs(x, kernel, dy, integers(like.shape)))
    ((left, right),) = found.pop("inner")
    sums = [np.asarray(a).sum(dtype=np.float64) for a in (left, right)]
    found["transpose"] = [(np.array(sums[0]), np.array(sums[1]))]
    if torch and _square(problem):
        found["product"] += _torch_pairs(problem, x, kernel)
    return {name: _differ(arrays) for name, arrays in found.items()}


def _lax(problem: Problem, x: Array, kernel: Array) -> Array:
    spatial = _SPATIAL[problem.rank]
    return lax.conv_general_dilated(
        x,
        kernel,
        problem.stride,
        problem.padding,
        rhs_dilation=problem.dilation,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
    )


def _differ(pairs: list[tuple[Any, Any]]) -> list[int]:
    """How many entries of the pairs' arrays differ, and how many there are."""
    arrays = [tuple(np.asarray(a) for a in pair) for pair in pairs]
    return [sum(int((a != b).sum()) for a, b in arrays), sum(a.size for a, _ in arrays)]


def _square(problem: Problem) -> bool:
    """Whether PyTorch's `unfold` can serve: images, with the same padding on both sides."""
    return problem.rank == 2 and all(low == high for low, high in problem.padding)


def _torch_geometry(problem: Problem) -> dict[str, Any]:
    return {
        "stride": problem.stride,
        "padding": tuple(low for low, _ in problem.padding),
        "dilation": problem.dilation,
    }


def _channels_first(x: Any, kernel: Any) -> tuple[np.ndarray, np.ndarray]:
    """`(batch, c, h, w)`, and the kernel as `(c_out, c_in / groups, *kernel_size)`."""
    return (
        np.ascontiguousarray(np.moveaxis(np.asarray(x), -1, 1)),
        np.ascontiguousarray(np.moveaxis(np.asarray(kernel), (-1, -2), (0, 1))),
    )


def _torch_pairs(problem: Problem, x: Array, kernel: Array) -> list[tuple[Any, Any]]:
    """PyTorch's unfold, product and fold beside its convolution and beside the layer here."""
    import torch
    from torch.nn import functional as F

    images, weights = map(torch.from_numpy, _channels_first(x, kernel))
    columns = F.unfold(images, problem.kernel_size, **_torch_geometry(problem))
    product = weights.reshape(problem.out_channels, -1) @ columns
    y = F.fold(product, problem.out, (1, 1))
    layer = np.moveaxis(np.asarray(_lax(problem, x, kernel)), -1, 1)
    return [(y, F.conv2d(images, weights, **_torch_geometry(problem))), (y, layer)]


def recipes(problem: Problem, arrays: routes.Arrays, *, torch: bool) -> dict[str, routes.Contender]:
    """The chapter's recipe as one would write it, in JAX and in PyTorch."""
    found = {RECIPE: _jax_recipe(problem, arrays)}
    if torch and _square(problem):
        found[TORCH_RECIPE] = _torch_recipe(problem, arrays)
    return found


def _jax_recipe(problem: Problem, arrays: routes.Arrays) -> routes.Contender:
    groups, geometry = problem.groups, {n: getattr(problem, n) for n in ("stride", "padding")}

    @jax.jit
    def forward(x: Array, kernel: Array) -> Array:
        columns = ops.unfold(x, problem.kernel_size, dilation=problem.dilation, **geometry)
        if groups == 1:
            return columns @ kernel.reshape(-1, problem.out_channels)
        columns = columns.reshape(*columns.shape[:-1], problem.taps, groups, -1)
        weights = kernel.reshape(problem.taps, -1, groups, problem.out_channels // groups)
        return jnp.einsum("...tgi,tigo->...go", columns, weights).reshape(problem.y_shape)

    x, kernel = (jnp.asarray(a) for a in arrays[:2])
    run = {"forward": functools.partial(forward, x, kernel)}
    return routes.Contender(run, lambda result: tuple(map(np.asarray, result)))


def _torch_recipe(problem: Problem, arrays: routes.Arrays) -> routes.Contender:
    import torch
    from torch.nn import functional as F

    x, kernel = map(torch.from_numpy, _channels_first(*arrays[:2]))
    matrices = kernel.reshape(problem.groups, problem.out_channels // problem.groups, -1)

    def forward() -> Any:
        with torch.inference_mode():
            columns = F.unfold(x, problem.kernel_size, **_torch_geometry(problem))
            columns = columns.reshape(problem.batch, problem.groups, -1, columns.shape[-1])
            product = (matrices @ columns).reshape(problem.batch, problem.out_channels, -1)
            return F.fold(product, problem.out, (1, 1))

    restore = lambda result: tuple(np.moveaxis(y.numpy(), 1, -1) for y in result)
    return routes.Contender({"forward": forward}, restore)
