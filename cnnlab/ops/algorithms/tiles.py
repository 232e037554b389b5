"""Work on a few examples at a time, so that what is made on the way stays in the cache."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Map
from cnnlab.ops.problem import Problem

# Bytes of intermediate arrays a tile may hold: about what two cores keep in their caches.
BUDGET = 5 << 18


def tile_size(batch: int, bytes_each: int, budget: int = BUDGET) -> int:
    """The largest divisor of `batch` whose examples hold at most `budget` bytes; at least 1."""
    if not isinstance(batch, int):  # an export leaves it open: all at once
        return batch
    most = max(1, min(batch, budget // max(bytes_each, 1)))
    return next(n for n in range(most, 0, -1) if batch % n == 0)


def by_tiles(plain: Map, bytes_each: Callable[[Problem], int]) -> Map:
    """`plain`, which maps examples, a tile at a time; it holds `bytes_each(problem)` an example."""

    def tiled(a: Array, kernel: Array, problem: Problem) -> Array:
        tile = tile_size(problem.batch, bytes_each(problem))
        part = replace(problem, batch=tile)
        return map_tiles(lambda a: plain(a, kernel, part), (a,), tile)

    return tiled


def map_tiles(f: Callable[..., Array], arrays: tuple[Array, ...], tile: int) -> Array:
    """`f` of all examples, `tile` at a time; `f` maps `(tile, ...)` arrays to such an array."""
    count = 1 if arrays[0].shape[0] == tile else arrays[0].shape[0] // tile
    if count == 1:
        return f(*arrays)
    split = [_split(a, tile, count) for a in arrays]
    part = jax.eval_shape(f, *(_take(a, 0) for a in split))
    result = jnp.zeros((tile, count, *part.shape[1:]), part.dtype)

    def body(i: Array, result: Array) -> Array:
        return lax.dynamic_update_index_in_dim(result, f(*(_take(a, i) for a in split)), i, 1)

    result = lax.fori_loop(0, count, body, result)
    return result.reshape(tile * count, *part.shape[1:])


def sum_tiles(f: Callable[..., Array], arrays: tuple[Array, ...], tile: int) -> Array:
    """Sum of `f` over tiles of examples."""
    count = 1 if arrays[0].shape[0] == tile else arrays[0].shape[0] // tile
    if count == 1:
        return f(*arrays)
    split = [_split(a, tile, count) for a in arrays]
    part = jax.eval_shape(f, *(_take(a, 0) for a in split))
    zero = jnp.zeros(part.shape, part.dtype)
    return lax.fori_loop(0, count, lambda i, s: s + f(*(_take(a, i) for a in split)), zero)


def _split(x: Array, tile: int, count: int) -> Array:
    # Tile i holds examples i, count + i, ..: of an array sharded over examples every device's part
    # gives its share to each tile, and nothing moves between devices.
    return x.reshape(tile, count, *x.shape[1:])


def _take(x: Array, i: int | Array) -> Array:
    return lax.dynamic_index_in_dim(x, i, 1, keepdims=False)
