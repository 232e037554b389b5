"""Does a layer commute with translations? `f(T x)` against `T f(x)` (A 3.1, A 4.3)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


class Errors(NamedTuple):
    """The largest `|f(T x) - T' f(x)|`, relative to the largest `|f(x)|`.

    - `whole`: over the whole output.
    - `interior`: over the outputs that keep away from the border before and after the shift; not a
      number where there are none.
    - `at`: `(*out,)`, at every position.
    """

    whole: float
    interior: float
    at: Float[np.ndarray, "..."]


def translate(x: Float[Array, "b *spatial c"], offset: Sequence[int]) -> Float[Array, "b ..."]:
    """`T x`, moved by `offset` positions along each spatial axis of a torus: what leaves at one
    end enters at the other."""
    return jnp.roll(x, tuple(offset), tuple(range(1, 1 + len(offset))))


def equivariance_errors(
    layer: Callable[[Array], Array],
    x: Float[Array, "b *spatial c"],
    offset: Sequence[int],
    *,
    stride: int = 1,
    margin: int = 0,
) -> Errors:
    """How far a layer is from `f(T x) = T' f(x)`, `T'` the same translation of the outputs.

    An offset that is no multiple of the stride is no whole number of outputs: `T'` is then, along
    every axis, the nearest whole number on the side where the error is smaller.

    **Arguments:**

    - `layer`: `(b, *spatial, c)` to `(b, *out, c_out)`.
    - `stride`: input positions between neighbouring outputs.
    - `margin`: outputs at each end that depend on padding, and take no part in `interior`.
    """
    before, after = np.asarray(layer(x)), np.asarray(layer(translate(x, offset)))
    spatial = tuple(range(1, before.ndim - 1))
    found = []
    for down in (True, False):
        moved = tuple(t // stride if down else -(-t // stride) for t in offset)
        difference = np.abs(after - np.roll(before, moved, spatial)).max((0, -1))
        at = difference / (np.abs(before).max() or 1.0)
        inside = interior(at.shape, moved, margin)
        found.append(Errors(float(at.max()), float(at[inside].max(initial=-np.inf)), at))
    best = min(found, key=lambda errors: errors.whole)
    return best._replace(interior=best.interior if best.interior >= 0 else float("nan"))


def invariance_error(
    layer: Callable[[Array], Array], x: Float[Array, "b *spatial c"], offset: Sequence[int]
) -> float:
    """The largest `|f(T x) - f(x)|`, relative to the largest `|f(x)|` (A 4.3)."""
    before, after = np.asarray(layer(x)), np.asarray(layer(translate(x, offset)))
    return float(np.abs(after - before).max() / (np.abs(before).max() or 1.0))


def interior(shape: Sequence[int], moved: Sequence[int], margin: int) -> Bool[np.ndarray, "..."]:
    """Output positions `i` for which both `i` and `i - moved` are at least `margin` positions
    away from the ends: neither their window nor the one they are compared with has padding."""
    inside = np.ones(tuple(shape), bool)
    for axis, (n, by) in enumerate(zip(shape, moved, strict=True)):
        i = np.arange(n)
        kept = (i >= margin) & (i < n - margin) & (i - by >= margin) & (i - by < n - margin)
        inside &= np.expand_dims(kept, [a for a in range(len(shape)) if a != axis])
    return inside


def relative_change(
    layer: Callable[[Array], Array], x: Float[Array, "b *spatial c"], offset: Sequence[int]
) -> Float[np.ndarray, " b"]:
    """`||f(T x) - f(x)|| / ||f(x)||` of each example: 0 where `f` is invariant."""
    before, after = np.asarray(layer(x)), np.asarray(layer(translate(x, offset)))
    rows = lambda a: np.sqrt(np.sum(np.square(a.reshape(len(a), -1), dtype=np.float64), 1))
    return rows(after - before) / np.maximum(rows(before), np.finfo(np.float32).tiny)
