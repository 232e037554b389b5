"""Which algorithm should be fastest, by platform and shape, where nothing was measured.

The constants are rates measured on two AVX2 cores with jax 0.10.1; `experiments/bench_conv` shows
what the choices cost. On accelerators XLA calls the vendor's library, which chooses for itself.
"""

import math

from cnnlab.ops.algorithms import REGISTRY, Pass, native
from cnnlab.ops.problem import Problem

# Multiply-adds a nanosecond, by each algorithm's own formula.
_DENSE = 20.0
_TAPS = {"forward": 5.0, "input_gradient": 5.0, "kernel_gradient": 1.8}
_COMPILED_TAPS = {"forward": 25.0, "input_gradient": 22.0, "kernel_gradient": 7.0}
_OWN_LOOPS = 50.0  # depthwise.cc
_FFT = 2.0


def prefer(problem: Problem, which: Pass, platform: str) -> list[str]:
    """Names in order of preference, `lax` last; not all of them need serve."""
    if platform == "cpu":
        return [*_on_cpu(problem, which), "lax"]
    return ["lax"]


def _on_cpu(problem: Problem, which: Pass) -> list[str]:
    compiled = _native_pays(problem, which)
    engine = ["native"] if compiled else []
    return [*_less_arithmetic(problem, which, compiled), *engine, *_direct(problem, which)]


def _less_arithmetic(problem: Problem, which: Pass, compiled: bool) -> list[str]:
    """What saves enough multiply-adds to stay ahead of code, compiled or not, that does all."""
    spectral, nanoseconds = _fastest_fft(problem)
    taps = (_COMPILED_TAPS if compiled else _TAPS)[which]
    if compiled and native.implementation(problem, which) == native.OWN_LOOPS:
        taps = _OWN_LOOPS
    if nanoseconds < problem.multiply_adds / (taps if _depthwise(problem) else _DENSE):
        return [spectral]
    if compiled and problem.dtype.itemsize < 4:
        return []  # it computes in float32; the processor multiplies 16-bit floats twice as fast
    return ["native_winograd", "winograd"] if _winograd_pays(problem) else []


def _native_pays(problem: Problem, which: Pass) -> bool:
    """oneDNN has code made for this shape, and not its general fall-back."""
    if REGISTRY["native"].refusal(problem) is not None:
        return False
    name = native.implementation(problem, which)
    return "dw" in name if _depthwise(problem) else native.compiled(name)


def _direct(problem: Problem, which: Pass) -> list[str]:
    if _depthwise(problem):
        return ["taps", _fastest_fft(problem)[0]]
    if problem.groups > 1:
        xla = which == "forward" or (which == "input_gradient" and max(problem.stride) == 1)
        return [] if xla else ["im2col"]
    # XLA's gradient in the kernel takes up to five forward passes, and more where it is dilated.
    slow = (which == "kernel_gradient" or problem.rank == 3) and problem.taps <= 64
    return ["pointwise", *(["im2col"] if slow else [])]


def _depthwise(problem: Problem) -> bool:
    return problem.groups > 1 and problem.groups == problem.in_channels


def _fastest_fft(problem: Problem) -> tuple[str, float]:
    """The better of the two by formula, and its time in ns; blocks must save a third to pay."""
    cost = {name: REGISTRY[name].multiply_adds(problem) for name in ("fft", "fft_overlap_add")}
    blocks = cost["fft_overlap_add"] < cost["fft"] * 2 / 3
    name = "fft_overlap_add" if blocks else "fft"
    return name, cost[name] / _FFT


def _winograd_pays(problem: Problem) -> bool:
    """Its matrix products are of `(rows, c_in)` with `(c_in, c_out)`: neither may be thin, for few
    channels do not save what transforms cost. Maps smaller than a tile waste it."""
    winograd = REGISTRY["winograd"]
    if problem.rank != 2 or winograd.refusal(problem) is not None:
        return False
    rows = problem.batch * math.prod(-(-n // 4) for n in problem.out)
    channels = min(problem.in_channels, problem.out_channels)
    saves = 2 * winograd.multiply_adds(problem) <= problem.multiply_adds
    return saves and channels >= 32 and rows >= 64
