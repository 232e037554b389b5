"""The algorithms behind `ops.conv`, one file each, in the order in which `auto` asks them."""

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.algorithms.fft import FFT
from cnnlab.ops.algorithms.im2col import IM2COL
from cnnlab.ops.algorithms.lax import LAX
from cnnlab.ops.algorithms.pointwise import POINTWISE
from cnnlab.ops.algorithms.toeplitz import TOEPLITZ
from cnnlab.ops.geometry import Problem

REGISTRY: dict[str, Algorithm] = {a.name: a for a in (POINTWISE, LAX, IM2COL, FFT, TOEPLITZ)}


def serving(problem: Problem) -> list[str]:
    """Names of the algorithms that can serve the problem, first the one `auto` takes."""
    return [name for name, a in REGISTRY.items() if a.refusal(problem) is None]


def choose(name: str, problem: Problem) -> Algorithm:
    """The algorithm of that name, or `auto`'s choice.

    Raises:
        ValueError: no such algorithm, or it cannot serve the problem.
    """
    if name == "auto":
        return REGISTRY[serving(problem)[0]]
    if name not in REGISTRY:
        raise ValueError(f"algorithm: expected one of auto, {', '.join(REGISTRY)}, got {name!r}")
    algorithm = REGISTRY[name]
    reason = algorithm.refusal(problem)
    if reason is not None:
        raise ValueError(f"algorithm: {name!r} cannot serve this convolution: {reason}")
    return algorithm
