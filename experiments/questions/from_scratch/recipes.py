"""The chapter's recipe in JAX and in PyTorch, and what should be equal, compared exactly."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cnnlab import ops
from cnnlab.bench import contenders as routes
from cnnlab.bench.contenders import Contender, Operands
from cnnlab.bench.geometries import random_problem
from cnnlab.ops import Problem

# Names of the recipes, each with the library that it is written in.
RECIPES = {"unfold (JAX)": "lax", "unfold (PyTorch)": "torch"}


def recipes(problem: Problem, arrays: Operands, *, torch: bool) -> dict[str, Contender]:
    """The recipe as one would write it, in JAX, and in PyTorch where its unfold can serve: images,
    with the same padding on both sides."""
    found = [_in_jax(problem, arrays)]
    if torch and problem.rank == 2 and all(low == high for low, high in problem.padding):
        found.append(_in_torch(problem, arrays))
    return dict(zip(RECIPES, found, strict=False))


def _in_jax(problem: Problem, arrays: Operands) -> Contender:
    groups, window = problem.groups, _window(problem)

    @jax.jit
    def forward(x: Array, kernel: Array) -> Array:
        columns = ops.unfold(x, **window)
        if groups == 1:
            return columns @ kernel.reshape(-1, problem.out_channels)
        columns = columns.reshape(*columns.shape[:-1], problem.taps, groups, -1)
        weights = kernel.reshape(problem.taps, -1, groups, problem.out_channels // groups)
        return jnp.einsum("...tgi,tigo->...go", columns, weights).reshape(problem.y_shape)

    x, kernel = (jnp.asarray(a) for a in arrays[:2])
    run = {"forward": functools.partial(forward, x, kernel)}
    return Contender(run, lambda result: tuple(map(np.asarray, result)))


def _in_torch(problem: Problem, arrays: Operands) -> Contender:
    import torch
    from torch.nn import functional as F

    x, kernel = (torch.from_numpy(a) for a in routes.channels_first(arrays)[:2])
    matrices = kernel.reshape(problem.groups, problem.out_channels // problem.groups, -1)
    window = {"kernel_size": problem.kernel_size, "stride": problem.stride}
    window |= {"padding": [low for low, _ in problem.padding], "dilation": problem.dilation}

    def forward() -> Any:
        with torch.inference_mode():
            columns = F.unfold(x, **window)
            columns = columns.reshape(problem.batch, problem.groups, -1, columns.shape[-1])
            product = (matrices @ columns).reshape(problem.batch, problem.out_channels, -1)
            return F.fold(product, problem.out, (1, 1))

    restore = lambda result: tuple(np.moveaxis(y.numpy(), 1, -1) for y in result)
    return Contender({"forward": forward}, restore)


def compare(rng: np.random.Generator, *, torch: bool) -> list[dict[str, Any]]:
    """A random convolution of whole numbers, on which everything is exact in float32: how many
    entries differ, of how many that were compared, for

    - `product`: the recipe (`unfold(x) W`) and lax's convolution; PyTorch's recipe and its own
      convolution and lax's, too.
    - `transpose`: `<unfold(x), p>` and `<x, fold(p)>`.
    - `gradients`: `fold(dy W^T)`, `unfold(x)^T dy` and lax's gradients in input and kernel.
    - `counts`: `fold(unfold(x))` and `x` times the number of windows that read it.
    - `undoes`: `fold(unfold(x))` and `x` itself.
    - `reassembled`: `fold` with windows of size 1 of the product's columns and the output.
    """
    problem = random_problem("lax", rng)
    while problem.groups > 1:
        problem = random_problem("lax", rng)
    integers = lambda shape: rng.integers(-3, 4, shape).astype(np.float32)
    arrays = Operands(*map(integers, (problem.x_shape, problem.kernel_shape, problem.y_shape)))
    p = integers((*problem.y_shape[:-1], problem.taps * problem.in_channels))
    window = _window(problem)

    @jax.jit
    def pairs(x: Array, kernel: Array, dy: Array, p: Array) -> dict[str, list[tuple[Array, Array]]]:
        y, transposed = jax.vjp(routes.lax_convolution(problem), x, kernel)
        dx, dkernel = transposed(dy)
        unfold = lambda x: ops.unfold(x, **window)
        fold = lambda p: ops.fold(p, problem.spatial, **window)
        matrix, columns = kernel.reshape(-1, problem.out_channels), unfold(x)
        product = columns @ matrix
        own = columns.reshape(-1, columns.shape[-1]).T @ dy.reshape(-1, problem.out_channels)
        again, reads = fold(columns), fold(unfold(jnp.ones_like(x)))
        return {
            "product": [(product, y)],
            "transpose": [(columns * p, x * fold(p))],
            "gradients": [(fold(dy @ matrix.T), dx), (own.reshape(kernel.shape), dkernel)],
            "counts": [(again, reads * x)],
            "undoes": [(again, x)],
            "reassembled": [(ops.fold(product, problem.out, (1,) * problem.rank), y)],
        }

    found = dict(pairs(*arrays, p))
    inner = lambda array: np.asarray(array).sum(dtype=np.float64)
    found["transpose"] = [(inner(a), inner(b)) for a, b in found["transpose"]]
    written = recipes(problem, arrays, torch=torch)
    if "unfold (PyTorch)" in written:
        library = routes.contenders(problem, arrays, [], ["torch"])["torch"]
        [y], [expected] = (c.result("forward") for c in (written["unfold (PyTorch)"], library))
        found["product"] += [(y, expected), (y, found["product"][0][1])]
    return [{"what": what, **_differ(arrays)} for what, arrays in found.items()]


def _window(problem: Problem) -> dict[str, Any]:
    geometry = {name: getattr(problem, name) for name in ("stride", "padding", "dilation")}
    return {"window": problem.kernel_size, **geometry}


def _differ(pairs: list[tuple[Any, Any]]) -> dict[str, int]:
    """How many entries of the pairs' arrays differ, and how many there are."""
    arrays = [(np.asarray(a), np.asarray(b)) for a, b in pairs]
    differ = sum(int((a != b).sum()) for a, b in arrays)
    return {"compared": sum(a.size for a, _ in arrays), "differ": differ}
