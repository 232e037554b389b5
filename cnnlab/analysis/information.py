"""How many functions a learner tells apart: the packing argument of B 10.2, with its constants.

The class is `h* o R` for orthogonal `R`, `h*(x) = sign(x' Q x)`, `Q` diagonal with d/2 entries +1
and d/2 entries -1. A rotated function is known by `A = R' Q R`, a reflection matrix, that is by the
subspace on which A is +1: a point of the Grassmann manifold Gr(d/2, d).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Packing:
    """At least `M = (constant / radius)^dimension` functions (B eq. 10.12) that are pairwise apart,
    `radius` in the metric of the space that is packed.

    M comes of taking functions greedily while there is one far enough from all that were taken:
    in the end the balls of that radius around them cover the space, so M is no less than the
    space's volume over a ball's. The ball's volume is to leading order in its radius.
    """

    dimension: int
    constant: float
    radius: float

    @property
    def bits(self) -> float:
        """log2 M, at least 0: one function there always is."""
        return max(0.0, self.dimension * math.log2(self.constant / self.radius))


def rotation_dimension(d: int) -> int:
    """Of the orthogonal group O(d): `d (d - 1) / 2`, the D of B 10.2."""
    return d * (d - 1) // 2


def orbit_dimension(d: int) -> int:
    """Of the class itself: `(d / 2)^2`, that of Gr(d/2, d).

    O(d) has more, because a rotation within either eigenspace of Q leaves h* as it is:
    `d (d - 1) / 2 - 2 (d/2) (d/2 - 1) / 2 = (d/2)^2`.
    """
    return (d // 2) ** 2


def orbit_rank(rotation: Float[np.ndarray, "d d"]) -> int:
    """The number of independent directions in which `R' Q R` moves as the orthogonal `R` does: the
    rank of `X -> A X - X A` over antisymmetric X, where `A = R' Q R`."""
    d = len(rotation)
    a = rotation.T @ (_signs(d)[:, None] * rotation)
    moves = []
    for i in range(d):
        for j in range(i):
            x = np.zeros((d, d))
            x[i, j], x[j, i] = 1, -1
            moves.append((a @ x - x @ a).ravel())
    return int(np.linalg.matrix_rank(np.array(moves)))


def orbit_packing(d: int, separation: float) -> Packing:
    """Functions of the class that pairwise disagree on more than a share `separation` of N(0, I).

    `(x' A1 x, x' A2 x)` has correlation `rho = tr(A1 A2) / d`, and the two differ in sign with
    probability `arccos(rho) / pi`: exactly where all principal angles of the two subspaces are
    equal, else as d grows (central limit theorem). The chordal distance of the subspaces, the root
    of `sum_i sin^2 phi_i`, is then `sqrt(d (1 - rho) / 4)`. The share of Gr(p, 2 p) in a chordal
    ball of radius r is, with `t = p^2`,
    `r^t / Gamma(t / 2 + 1) prod_{i=1}^p Gamma((2 p - i + 1) / 2) / Gamma((p - i + 1) / 2)`
    (Dai, Liu and Rider, arXiv:cs/0603039) times `1 + O(r^2)`.
    """
    p, dimension = d // 2, orbit_dimension(d)
    log_share = -math.lgamma(dimension / 2 + 1) + sum(
        math.lgamma((2 * p - i + 1) / 2) - math.lgamma((p - i + 1) / 2) for i in range(1, p + 1)
    )
    radius = math.sqrt(d * (1 - math.cos(math.pi * separation)) / 4)
    return Packing(dimension, math.exp(-log_share / dimension), radius)


def rotation_packing(d: int, separation: float) -> Packing:
    """The same as B 10.2 counts it: rotations, `D = d (d - 1) / 2`, in the Frobenius norm.

    For small rotations `dist = |A1 - A2|_F / (pi sqrt(d))`, and a random small rotation has
    `|A1 - A2|_F = sqrt(2) |R1 - R2|_F`, half of its generator lying in the blocks that move A. So
    the c of B eq. 10.11 is `sqrt(2 / d) / pi`, of such rotations (there is none for those that
    leave Q as it is), and the radius is `separation / c`. The volume of O(d) in that norm is
    `2^(D / 2)` times those of the unit spheres of dimension 0 to d - 1.
    """
    dimension = rotation_dimension(d)
    log_volume = dimension / 2 * math.log(2) + sum(
        math.log(2) + k / 2 * math.log(math.pi) - math.lgamma(k / 2) for k in range(1, d + 1)
    )
    log_ball = dimension / 2 * math.log(math.pi) - math.lgamma(dimension / 2 + 1)
    radius = separation * math.pi * math.sqrt(d / 2)
    return Packing(dimension, math.exp((log_volume - log_ball) / dimension), radius)


def _signs(d: int) -> np.ndarray:
    return np.where(np.arange(d) < d // 2, 1.0, -1.0)
