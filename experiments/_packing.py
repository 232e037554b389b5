"""Pairs and sets of rotated tasks (B 10.2): how far apart they are, and how many there are."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from cnnlab.analysis.packing import (
    distances_from_one,
    distances_in_ball,
    greedy_packing,
    labels,
    orbit,
    quadratic_forms,
)
from cnnlab.analysis.rotations import (
    block_diagonal,
    frobenius,
    move,
    plane_skew,
    random_orthogonal,
    random_skew,
)

BLOCK = 256  # candidates at a time


def rotated_pairs(
    kind: str, rng: np.random.Generator, n: int, d: int, p: int
) -> tuple[np.ndarray, np.ndarray]:
    """`n` pairs of orthogonal matrices, `(n, d, d)` each.

    - `independent`: both from Haar's measure.
    - `nearby`: the second a geodesic away in a random direction; the part of the direction that
      changes the task and the part that does not have random sizes.
    - `one plane`: the second turned in the plane of one coordinate with a plus and one with a
      minus, by up to a quarter turn.
    - `same task`: the second turned among the coordinates of each sign, which changes nothing.
    """
    one = random_orthogonal(rng, n, d)
    size = np.exp(rng.uniform(np.log(0.05), 0, n))
    if kind == "independent":
        return one, random_orthogonal(rng, n, d)
    if kind == "same task":
        return one, block_diagonal(rng, n, d, p) @ one
    if kind == "one plane":
        angle = size * np.pi / 2
        return one, move(one, angle[:, None, None] * plane_skew(n, d, 0, p))
    # Scaled so that the mixing part alone would move R^T Q R by about size * sqrt(2 d), which is
    # how far independent ones are apart.
    within = np.exp(rng.uniform(np.log(0.1), np.log(3.0), n))
    skew = random_skew(rng, n, d, p=p, within=within)
    mixing = np.sqrt(2 * np.square(skew[:, :p, p:]).sum((1, 2)))
    return one, move(one, (size * np.sqrt(d / 2) / mixing)[:, None, None] * skew)


def compare_pairs(kind: str, d: int, p: int, pairs: int, inputs: int, seed: int) -> dict[str, Any]:
    """Of each pair: both matrix distances, and on how many of `inputs` Gaussian inputs the tasks
    disagree; on how many that is not the sign of the product (Problem 10.2.3 (i)); and on how many
    `v1 . v2 < 0` (its hint)."""
    rng = np.random.default_rng([seed, d, sum(kind.encode())])
    one, other = rotated_pairs(kind, rng, pairs, d, p)
    a, b = orbit(one, p), orbit(other, p)
    found: dict[str, Any] = {"disagree": [], "not_product": 0, "negative": []}
    for i in range(pairs):  # each on inputs of its own
        x = rng.standard_normal((inputs, d))
        differ = np.logical_xor(labels(one[i : i + 1], x, p), labels(other[i : i + 1], x, p))[0]
        product = quadratic_forms(a[i : i + 1], x)[0] * quadratic_forms(b[i : i + 1], x)[0]
        # Where neither form is zero but for rounding: the two ways to compute it differ by 1e-16.
        certain = np.abs(product) > 1e-12
        found["not_product"] += int((differ != (product < 0))[certain].sum())
        found["disagree"].append(int(differ.sum()))
        found["negative"].append(int((np.einsum("md,md->m", x @ a[i], x @ b[i]) < 0).sum()))
    return {
        **found,
        "rotations": frobenius(one, other).tolist(),
        "orbit": frobenius(a, b).tolist(),
        "inputs": inputs,
    }


def dimension(space: str, d: int, p: int) -> int:
    """Of the manifold: `d (d - 1) / 2` for the rotations, `p (d - p)` for the tasks."""
    return d * (d - 1) // 2 if space == "rotations" else p * (d - p)


def sampler(
    space: str, d: int, p: int, signs: int, rng: np.random.Generator
) -> Callable[[int], np.ndarray]:
    """Random points of a space as vectors whose Euclidean distance is the space's.

    `rotations`: `||R1 - R2||_F`; `orbit`: `||A1 - A2||_F` with `A = R^T Q R`; `functions`: the
    square root of the share of `signs` fixed inputs on which they disagree.
    """
    x = rng.standard_normal((signs, d))

    def draw(n: int) -> np.ndarray:
        r = random_orthogonal(rng, n, d)
        if space == "functions":
            return np.where(labels(r, x, p), 0.5, -0.5).astype(np.float32) / np.float32(signs**0.5)
        return (r if space == "rotations" else orbit(r, p)).reshape(n, d * d)

    return draw


def balls(
    space: str, d: int, p: int, shares: Sequence[float], signs: int, draws: int, seed: int
) -> dict[str, Any]:
    """The distances within which a random point finds such shares of the others, and how many of
    `draws` new points lie within each distance and within half of it."""
    rng = np.random.default_rng([seed, d, len(space)])
    draw = sampler(space, d, p, signs, rng)
    distances = np.quantile(distances_from_one(draw, draws), shares)
    fresh = distances_from_one(draw, draws)
    return {
        "distances": distances.tolist(),
        "within": np.searchsorted(fresh, distances).tolist(),
        "half": np.searchsorted(fresh, distances / 2).tolist(),
        "draws": draws,
    }


def small_ball(
    space: str, d: int, p: int, radius: float, *, walkers: int, steps: int, seed: int
) -> dict[str, Any]:
    """Of random points in a small ball, how many are within a fraction of its radius: about
    `1 / e^2` of them, the same number whatever the dimension."""
    fraction = float(np.exp(-2 / dimension(space, d, p)))
    centre = np.eye(d)[None] if space == "rotations" else orbit(np.eye(d)[None], p)

    def distance(r: np.ndarray) -> np.ndarray:
        return frobenius(r if space == "rotations" else orbit(r, p), centre)

    rng = np.random.default_rng([seed, d, len(space)])
    found = distances_in_ball(distance, d, radius, n=walkers, steps=steps, rng=rng)
    inside = int((found < fraction * radius).sum())
    return {"inside": inside, "walkers": walkers, "fraction": fraction}


def packings(
    space: str,
    d: int,
    p: int,
    distances: Sequence[float],
    *,
    signs: int,
    patience: float,
    largest: int,
    seed: int,
) -> list[dict[str, Any]]:
    """The size of a greedy packing for each distance, and whether it is full."""
    found = []
    for i, distance in enumerate(distances):
        rng = np.random.default_rng([seed, d, len(space), i])
        draw = sampler(space, d, p, signs, rng)
        packing = greedy_packing(_blocks(draw), distance, patience=patience, largest=largest)
        found.append({"distance": distance, "m": len(packing.points), "full": packing.full})
    return found


def _blocks(draw: Callable[[int], np.ndarray]) -> Iterator[np.ndarray]:
    while True:
        yield draw(BLOCK)
