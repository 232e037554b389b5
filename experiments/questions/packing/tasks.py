"""The rotated tasks of B 10.2, and how far apart two of them are.

The task is `h*(x) = sign(x^T Q x)` with `Q = diag(1, ..., 1, -1, ..., -1)`, of whose `d` entries
`p = d/2` (rounded down) are ones; rotated by `R` it is `sign(x^T A x)` with `A = R^T Q R`. The
matrices `A` are the orbit of `Q`: symmetric, orthogonal, of trace `2 p - d`, one for each subspace
of dimension `p`, a manifold of dimension `p (d - p)`.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from cnnlab.analysis.rotations import (
    block_diagonal,
    frobenius,
    move,
    plane_skew,
    random_orthogonal,
    random_skew,
)

APART = ("independent", "nearby", "one plane")  # kinds of pairs with another task each
SAME = "same task"


def signature(d: int) -> Float[np.ndarray, " d"]:
    """The diagonal of `Q`: `d/2` times 1, then -1."""
    return np.where(np.arange(d) < d // 2, 1.0, -1.0)


def orbit(r: Float[np.ndarray, "n d d"]) -> Float[np.ndarray, "n d d"]:
    """`R^T Q R` of each matrix."""
    return np.swapaxes(r, 1, 2) @ (signature(r.shape[-1])[:, None] * r)


def labels(r: Float[np.ndarray, "n d d"], x: Float[np.ndarray, "m d"]) -> Bool[np.ndarray, "n m"]:
    """Where `h*(R x) = 1`: the first half of the squares of `R x` outweighs the other."""
    n, d, _ = r.shape
    squares = np.square(r.reshape(n * d, d) @ x.T).reshape(n, d, -1)
    return signature(d) @ squares > 0


def rotated_pairs(
    kind: str, rng: np.random.Generator, n: int, d: int
) -> tuple[Float[np.ndarray, "n d d"], Float[np.ndarray, "n d d"]]:
    """`n` pairs of orthogonal matrices.

    - `independent`: both from Haar's measure.
    - `nearby`: the second a geodesic away in a random direction; the part of the direction that
      changes the task and the part that does not have random sizes.
    - `one plane`: the second turned in the plane of one coordinate with a plus and one with a
      minus, by up to a quarter turn.
    - `same task`: the second turned among the coordinates of each sign, which changes nothing.
    """
    p, one = d // 2, random_orthogonal(rng, n, d)
    size = np.exp(rng.uniform(np.log(0.05), 0, n))
    if kind == "independent":
        return one, random_orthogonal(rng, n, d)
    if kind == SAME:
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


def compare_pairs(kind: str, d: int, pairs: int, inputs: int, seed: int) -> list[dict[str, Any]]:
    """Of each pair: both matrix distances, and on how many of `inputs` Gaussian inputs the tasks
    disagree; on how many that is not the sign of the product (Problem 10.2.3 (i)); and on how many
    `v1 . v2 < 0` (its hint)."""
    rng = np.random.default_rng([seed, d, sum(kind.encode())])
    one, other = rotated_pairs(kind, rng, pairs, d)
    a, b = orbit(one), orbit(other)
    distances = {"rotations": frobenius(one, other), "orbit": frobenius(a, b)}
    found = []
    for i in range(pairs):  # each on inputs of its own
        x = rng.standard_normal((inputs, d))
        differ = np.logical_xor(*(labels(r[i : i + 1], x)[0] for r in (one, other)))
        v, w = x @ a[i], x @ b[i]
        inner = lambda a, b: np.einsum("md,md->m", a, b)
        product = inner(x, v) * inner(x, w)
        # Where neither form is zero but for rounding: the two ways to compute it differ by 1e-16.
        certain = np.abs(product) > 1e-12
        found.append({
            **{of: float(far[i]) for of, far in distances.items()}, "inputs": inputs,
            "disagree": int(differ.sum()), "negative": int((inner(v, w) < 0).sum()),
            "not_product": int((differ != (product < 0))[certain].sum()),
        })  # fmt: skip
    return found
