"""How many functions, or rotations, that are far enough apart there are at least: by volume."""

import math
from dataclasses import dataclass

from experiments.packing.sets import dimension


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
    p, size = d // 2, dimension("orbit", d)
    log_share = -math.lgamma(size / 2 + 1) + sum(
        math.lgamma((2 * p - i + 1) / 2) - math.lgamma((p - i + 1) / 2) for i in range(1, p + 1)
    )
    radius = math.sqrt(d * (1 - math.cos(math.pi * separation)) / 4)
    return Packing(size, math.exp(-log_share / size), radius)


def rotation_packing(d: int, separation: float) -> Packing:
    """The same as B 10.2 counts it: rotations, `D = d (d - 1) / 2`, in the Frobenius norm.

    For small rotations `dist = |A1 - A2|_F / (pi sqrt(d))`, and a random small rotation has
    `|A1 - A2|_F = sqrt(2) |R1 - R2|_F`, half of its generator lying in the blocks that move A. So
    the c of B eq. 10.11 is `sqrt(2 / d) / pi`, of such rotations (there is none for those that
    leave Q as it is), and the radius is `separation / c`. The volume of O(d) in that norm is
    `2^(D / 2)` times those of the unit spheres of dimension 0 to d - 1.
    """
    size = dimension("rotations", d)
    log_volume = size / 2 * math.log(2) + sum(
        math.log(2) + k / 2 * math.log(math.pi) - math.lgamma(k / 2) for k in range(1, d + 1)
    )
    log_ball = size / 2 * math.log(math.pi) - math.lgamma(size / 2 + 1)
    radius = separation * math.pi * math.sqrt(d / 2)
    return Packing(size, math.exp((log_volume - log_ball) / size), radius)
