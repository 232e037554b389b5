"""The rotated tasks of B 10.2, how far apart they are, and how many fit into a set.

The task is `h*(x) = sign(x^T Q x)` with `Q = diag(1, ..., 1, -1, ..., -1)`, `p` ones among `d`
entries (`p = d/2` in the chapter); rotated by `R` it is `sign(x^T A x)` with `A = R^T Q R`. The
matrices `A` are the orbit of `Q`: symmetric, orthogonal, of trace `2 p - d`, one for each
subspace of dimension `p`, a manifold of dimension `p (d - p)`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from cnnlab.analysis.rotations import random_skew


def signature(d: int, p: int) -> Float[np.ndarray, " d"]:
    """The diagonal of `Q`: `p` times 1, then -1."""
    if not 0 < p < d:
        raise ValueError(f"p: expected a whole number from 1 to {d - 1}, got {p}")
    return np.where(np.arange(d) < p, 1.0, -1.0)


def orbit(r: Float[np.ndarray, "n d d"], p: int) -> Float[np.ndarray, "n d d"]:
    """`R^T Q R` of each matrix."""
    q = signature(r.shape[-1], p)
    return np.swapaxes(r, 1, 2) @ (q[:, None] * r)


def labels(
    r: Float[np.ndarray, "n d d"], x: Float[np.ndarray, "m d"], p: int
) -> Bool[np.ndarray, "n m"]:
    """Where `h*(R x) = 1`: the first `p` squares of `R x` outweigh the others."""
    n, d, _ = r.shape
    squares = np.square(r.reshape(n * d, d) @ x.T).reshape(n, d, -1)
    return signature(d, p) @ squares > 0


def quadratic_forms(
    a: Float[np.ndarray, "n d d"], x: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """`x^T A x` of every matrix and every input."""
    n, d, _ = a.shape
    return (x.T * (a.reshape(n * d, d) @ x.T).reshape(n, d, -1)).sum(1)


def disagreement_2d(
    a: Float[np.ndarray, "n 2 2"], b: Float[np.ndarray, "n 2 2"]
) -> Float[np.ndarray, " n"]:
    """`P[sign(x^T A x) != sign(x^T B x)]` in two dimensions, exactly.

    There `A = [[cos t, sin t], [sin t, -cos t]]` and `x^T A x = |x|^2 cos(2 u - t)` for `x` at the
    angle `u`: two such signs differ on the share `|t - t'| / pi` of the circle. With
    `||A - B||_F = 2 sqrt(2) sin(|t - t'| / 2)`, the ratio of the two grows from `1 / (pi sqrt(2))`
    for close tasks to `1 / (2 sqrt(2))` for opposite ones.
    """
    angle = np.arctan2(a[:, 0, 1], a[:, 0, 0]) - np.arctan2(b[:, 0, 1], b[:, 0, 0])
    return np.abs(np.arctan2(np.sin(angle), np.cos(angle))) / np.pi


@dataclass(frozen=True)
class Packing:
    """A set of points no two of which are closer than a distance; `full` if the search ended for
    want of places, not at its limit of points."""

    points: Float[np.ndarray, "m k"]
    full: bool


def greedy_packing(
    candidates: Iterator[Float[np.ndarray, "b k"]],
    distance: float | int,
    *,
    patience: float | int = 20,
    largest: int = 4000,
) -> Packing:
    """Keep every candidate that is no closer than `distance` to what has been kept.

    **Arguments:**

    - `candidates`: endless blocks of random points; distances are Euclidean, which for matrices
      written as vectors is `||A - B||_F`, and for vectors of signs over `2 sqrt(n)` is the square
      root of the share of the signs that differ.
    - `patience`: the search ends after `patience * m` candidates in a row without a place, where
      `m` is what it has. What is left is then less than about `1 / (patience * m)` of the space:
      a share of what one point takes that is the same for every distance.
    - `largest`: it also ends with so many points.
    """
    kept, refused = None, 0
    limit = distance**2
    for block in candidates:
        free = np.ones(len(block), bool) if kept is None else _clear(block, kept, limit)
        places = np.flatnonzero(free)
        taken = _greedy(block[places], limit)
        if len(taken):
            new = block[places[taken]]
            kept = new if kept is None else np.concatenate([kept, new])
            refused = len(block) - 1 - int(places[taken[-1]])
        else:
            refused += len(block)
        if len(kept) >= largest:
            return Packing(kept[:largest], False)
        if refused >= patience * len(kept):
            return Packing(kept, True)
    raise ValueError("candidates: expected endless blocks, got an end")


def _clear(
    block: Float[np.ndarray, "b k"], kept: Float[np.ndarray, "m k"], limit: float
) -> Bool[np.ndarray, " b"]:
    """Which points are at least `sqrt(limit)` away from all that have been kept."""
    return (_squares(block, kept) >= limit).all(1)


def _greedy(points: Float[np.ndarray, "b k"], limit: float) -> np.ndarray:
    """Positions of the points kept, each if it is far from those kept before it."""
    far = _squares(points, points) >= limit
    free, taken = np.ones(len(points), bool), []
    while free.any():  # once for each point that is kept
        first = int(free.argmax())
        taken.append(first)
        free &= far[first]
        free[first] = False
    return np.array(taken, int)


def _squares(a: Float[np.ndarray, "n k"], b: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "n m"]:
    """Squared distances of all pairs."""
    return np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T


def distances_from_one(
    points: Callable[[int], Float[np.ndarray, "b k"]], n: int
) -> Float[np.ndarray, " n"]:
    """Of `n` random points from another one, in growing order.

    Where a group acts on the space and leaves distances and the measure alone, as on O(d) and on
    the orbit, the share of the points within a distance is the volume of such a ball over that of
    the space, wherever its centre is.
    """
    centre, sizes = points(1), (min(1000, n - start) for start in range(0, n, 1000))
    squares = np.concatenate([_squares(points(size), centre)[:, 0] for size in sizes])
    return np.sqrt(np.maximum(np.sort(squares), 0))


def distances_in_ball(
    distance: Callable[[Float[np.ndarray, "n d d"]], Float[np.ndarray, " n"]],
    d: int,
    radius: float,
    *,
    n: int,
    steps: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " n"]:
    """Of `n` independent points of O(d), from Haar's measure on those with `distance(R) < radius`.

    Each is the end of a random walk from the identity that stays inside: a step multiplies by the
    Cayley transform of a Gaussian antisymmetric matrix, which is as likely as its inverse, so that
    the measure is left alone (Metropolis). Small balls, which random points of the whole group do
    not find, so show how volume grows with the radius: as its power, the dimension.
    """
    eye, r = np.eye(d), np.tile(np.eye(d), (n, 1, 1))
    for _ in range(steps):
        skew = 0.3 * radius / np.sqrt(d * (d - 1)) * random_skew(rng, n, d)
        moved = np.linalg.solve(eye - skew, eye + skew) @ r
        r = np.where((distance(moved) < radius)[:, None, None], moved, r)
    return distance(r)
