"""Sets of rotated tasks (B 10.2): how many fit into a space of them, and the volume of its balls.

The spaces, each with its distance: `rotations`, `||R1 - R2||_F`; their `orbit`, `||A1 - A2||_F`
with `A = R^T Q R`; `functions`, the square root of the share of inputs on which they disagree.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from experiments.packing.tasks import labels, orbit
from jaxtyping import Float

from cnnlab.analysis.rotations import frobenius, random_orthogonal, random_skew

SPACES = ("rotations", "orbit", "functions")
BLOCK = 256  # candidates at a time


def dimension(space: str, d: int) -> int:
    """Of the manifold: `d (d - 1) / 2` for the rotations, `p (d - p)` for the tasks."""
    p = d // 2
    return d * (d - 1) // 2 if space == "rotations" else p * (d - p)


def sampler(
    space: str, d: int, signs: int, rng: np.random.Generator
) -> Callable[[int], Float[np.ndarray, "b k"]]:
    """Random points of a space as vectors whose Euclidean distance is the space's; of `functions`,
    on `signs` fixed inputs."""
    x = rng.standard_normal((signs, d))

    def draw(n: int) -> np.ndarray:
        r = random_orthogonal(rng, n, d)
        if space == "functions":
            return np.where(labels(r, x), 0.5, -0.5).astype(np.float32) / np.float32(signs**0.5)
        return (r if space == "rotations" else orbit(r)).reshape(n, d * d)

    return draw


def balls(
    space: str, d: int, one_of: Sequence[int], *, signs: int, draws: int, seed: int
) -> list[dict[str, Any]]:
    """The distances within which a random point finds one of so many others, and how many of
    `draws` new points lie within each distance and within half of it."""
    rng = np.random.default_rng([seed, d, len(space)])
    draw = sampler(space, d, signs, rng)
    distances = np.quantile(distances_from_one(draw, draws), [1 / m for m in one_of])
    fresh = distances_from_one(draw, draws)
    within, half = (np.searchsorted(fresh, far).tolist() for far in (distances, distances / 2))
    rows = zip(one_of, distances.tolist(), within, half, strict=True)
    names = ("one_of", "distance", "within", "half")
    return [{**dict(zip(names, row, strict=True)), "draws": draws} for row in rows]


def small_ball(
    space: str, d: int, radius: float, *, walkers: int, steps: int, seed: int
) -> dict[str, Any]:
    """Of random points in a small ball, how many are within a fraction of its radius: about
    `1 / e^2` of them, the same number whatever the dimension."""
    fraction = float(np.exp(-2 / dimension(space, d)))
    point = lambda r: r if space == "rotations" else orbit(r)
    distance = lambda r: frobenius(point(r), point(np.eye(d)[None]))
    rng = np.random.default_rng([seed, d, len(space)])
    found = distances_in_ball(distance, d, radius, n=walkers, steps=steps, rng=rng)
    inside = int((found < fraction * radius).sum())
    return {"inside": inside, "walkers": walkers, "fraction": fraction}


def packings(
    space: str, d: int, distances: Mapping[int | None, float], *,
    signs: int, patience: float, largest: int, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """The size of a greedy packing for each distance, by what it is that far from, and whether it
    is full."""
    found = []
    for i, (one_of, distance) in enumerate(distances.items()):
        draw = sampler(space, d, signs, np.random.default_rng([seed, d, len(space), i]))
        points, full = greedy_packing(draw, distance, patience=patience, largest=largest)
        found.append({"one_of": one_of, "distance": distance, "m": len(points), "full": full})
    return found


def greedy_packing(
    draw: Callable[[int], Float[np.ndarray, "b k"]],
    distance: float | int,
    *,
    patience: float | int = 20,
    largest: int = 4000,
) -> tuple[Float[np.ndarray, "m k"], bool]:
    """Keep every random point that is no closer than `distance` to what has been kept; and whether
    the search ended for want of places, so that the packing is full, or at the `largest`.

    Distances are Euclidean. The search ends after `patience * m` points in a row without a place,
    where `m` is what it has: what is left is then less than about `1 / (patience * m)` of the
    space, a share of what one point takes that is the same for every distance.
    """
    block = draw(BLOCK)
    kept, refused, limit = block[:0], 0, distance**2
    while True:
        places = np.flatnonzero((squares(block, kept) >= limit).all(1))
        far = squares(block[places], block[places]) >= limit
        free, taken = np.ones(len(places), bool), []
        while free.any():  # once for each point that is kept
            taken.append(int(free.argmax()))
            free &= far[taken[-1]]
            free[taken[-1]] = False
        kept = np.concatenate([kept, block[places[taken]]])
        refused = len(block) - 1 - int(places[taken[-1]]) if taken else refused + len(block)
        if len(kept) >= largest:
            return kept[:largest], False
        if refused >= patience * len(kept):
            return kept, True
        block = draw(BLOCK)


def squares(a: Float[np.ndarray, "n k"], b: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "n m"]:
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
    far = np.concatenate([squares(points(size), centre)[:, 0] for size in sizes])
    return np.sqrt(np.maximum(np.sort(far), 0))


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
