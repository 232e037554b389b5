"""Random convolutions by one algorithm, beside a float64 reference and PyTorch."""

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import ops
from cnnlab.bench.geometries import random_problem
from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES, REGISTRY, Problem
from cnnlab.ops.table import key

# Code generation is most of the time, and changes only how sums are vectorised.
QUICK: dict[str, int] = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 12):
    QUICK["xla_cpu_use_fusion_emitters"] = False

FLOAT64 = "reference"  # what tables call it
Results: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]  # y, dx, dkernel
Peer: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray, Problem], Results]


@dataclasses.dataclass
class Agreement:
    """How well an algorithm agrees with one other in one pass."""

    algorithm: str
    against: str
    which: str
    limit: float
    n: int = 0
    worst: float = 0.0
    geometry: str = ""

    def add(self, error: float, problem: Problem) -> None:
        """Take one more geometry's relative error into account."""
        self.n += 1
        if not self.geometry or error > self.worst:
            self.worst, self.geometry = error, key(problem)

    @property
    def holds(self) -> bool:
        """Whether something was compared, and nothing was beyond the limit."""
        return self.n > 0 and self.worst <= self.limit

    def json(self) -> dict[str, object]:
        """As a JSON object; an error that is no number has null there."""
        finite = self.worst if math.isfinite(self.worst) else None
        return {**dataclasses.asdict(self), "worst": finite, "holds": self.holds}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared: so many geometries with the reference, so many of them with each peer.

    `options` are the compiler's.
    """

    geometries: int
    peers: dict[str, Peer]
    peer_geometries: int
    seed: int
    options: dict[str, int]


def compare(name: str, settings: Comparison) -> Iterator[list[Agreement]]:
    """The agreement of an algorithm so far, after every geometry.

    **Raises:** `ValueError`: it can't be had on this machine.
    """
    rng = np.random.default_rng([settings.seed, zlib.crc32(name.encode())])
    others: dict[str, tuple[Peer, int]] = {FLOAT64: (convolution, settings.geometries)}
    others |= {peer: (f, settings.peer_geometries) for peer, f in settings.peers.items()}
    limit = REGISTRY[name].tolerance(np.float32)
    lines = [Agreement(name, other, which, limit) for other in others for which in PASSES]
    for i in range(settings.geometries):
        problem = random_problem(name, rng)
        shapes = problem.x_shape, problem.kernel_shape, problem.y_shape
        x, kernel, dy = (rng.standard_normal(s).astype(problem.dtype) for s in shapes)
        values = computed(name, [x, kernel, dy], problem, settings.options)
        at = iter(lines)
        for f, count in others.values():
            expected = f(x, kernel, dy, problem) if i < count else (None,) * len(PASSES)
            for value, reference in zip(values, expected, strict=True):
                line = next(at)
                if reference is not None:
                    line.add(relative_error(value, reference), problem)
        yield lines
        if i % 100 == 99:  # every geometry is a program of its own
            jax.clear_caches()


def computed(
    name: str, arrays: list[np.ndarray], problem: Problem, options: dict[str, int]
) -> Results:
    """What an algorithm gives in the three passes: `y`, `dx`, `dkernel`.

    **Arguments:** `arrays`, `x`, `kernel` and `dy`; `options`, the compiler's.
    """
    return jax.device_get(passes(name, problem, options)(*map(jnp.asarray, arrays)))


def passes(name: str, problem: Problem, options: dict[str, int]) -> Callable[..., Any]:
    """The three passes by an algorithm as one compiled program, `(x, kernel, dy) -> (y, dx,
    dkernel)`."""
    call = functools.partial(
        ops.conv,
        stride=problem.stride,
        padding=problem.padding,
        dilation=problem.dilation,
        groups=problem.groups,
        algorithm=name,
    )

    @functools.partial(jax.jit, compiler_options=options)
    def run(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> tuple[jax.Array, ...]:
        y, pull = jax.vjp(call, x, kernel)
        return y, *pull(dy)

    return run


def torch_peer() -> Peer:
    """PyTorch's convolution and its gradients, in float64.

    **Raises:** `ImportError`: PyTorch is not installed.
    """
    import torch

    functional = torch.nn.functional

    def run(x: np.ndarray, kernel: np.ndarray, dy: np.ndarray, problem: Problem) -> Results:
        rank = problem.rank
        first, last = (0, rank + 1, *range(1, rank + 1)), (0, *range(2, rank + 2), 1)
        to = lambda a, order: torch.tensor(a, dtype=torch.float64).permute(order).contiguous()
        tx = to(x, first).requires_grad_()
        tk = to(kernel, (rank + 1, rank, *range(rank))).requires_grad_()
        padded = functional.pad(tx, [p for pair in reversed(problem.padding) for p in pair])
        conv = getattr(functional, f"conv{rank}d")
        options = {"stride": problem.stride, "dilation": problem.dilation}
        ty = conv(padded, tk, **options, groups=problem.groups)
        dx, dk = torch.autograd.grad(ty, (tx, tk), to(dy, first))
        back = lambda t, order: t.detach().permute(order).numpy()
        return back(ty, last), back(dx, last), back(dk, (*range(2, rank + 2), 1, 0))

    return run


def markdown(lines: list[Agreement], about: str) -> str:
    """A table with one row for each algorithm, pass and other."""
    rows = [
        f"| {line.algorithm} | {line.which} | {line.against} | {line.n} | {line.worst:.1e} "
        f"| {line.limit:.0e}{'' if line.holds else ' **broken**'} | {line.geometry} |"
        for line in lines
    ]
    heading = "| algorithm | pass | against | n | worst error | limit | where |"
    return "\n".join([about, "", heading, "|---|---|---|---|---|---|---|", *rows, ""])
