"""Long causal convolutions beside transforms as one writes them with JAX and PyTorch."""

import functools
import math
import os
from collections.abc import Sequence
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import ops
from cnnlab.bench.contenders import (
    Contender,
    Operands,
    compiled,
    largest_error,
    random_operands,
    torch_synchronize,
    torch_tensor,
)
from cnnlab.bench.timing import interleaved
from cnnlab.ops import REGISTRY, Problem, describe
from cnnlab.ops.algorithms.fft_monarch import FFT_MONARCH

JAX, TORCH = "jnp.fft", "torch.fft"
# Examples, channels, length.
SHAPES = (
    (8, 64, 1024), (8, 64, 2048), (8, 64, 4096), (4, 32, 16384), (2, 32, 65536), (2, 16, 131072),
    (2, 16, 262144), (2, 16, 1048576),
)  # fmt: skip
SHARES = (1, 16)  # the kernel is as long as the sequence, and a part of that
# The largest error, beside the largest entry of a result.
ERROR = {"float32": 1e-4, "bfloat16": 2e-2}


def grid(longest: int) -> dict[str, Problem]:
    """Depthwise causal convolutions of sequences up to a length, by name."""
    return {
        f"{b}x{c}x{n}, kernel {n // share}": describe(
            (b, n, c), (n // share, 1, c), padding="CAUSAL", groups=c
        )
        for share in SHARES
        for b, c, n in SHAPES
        if n <= longest
    }


def names() -> list[str]:
    """What is measured of cnnlab: `auto`, and what multiplies transforms and is there."""
    there = [n for n, a in REGISTRY.items() if a.fourier and a.unavailable() is None]
    if jax.default_backend() == "cpu":  # where it takes minutes at a million positions
        there.remove(FFT_MONARCH.name)
    return ["auto", *there]


def measure(
    problem: Problem, passes: Sequence[str], torch: bool, seconds: float, seed: int
) -> dict[str, Any]:
    """By pass and route its median `seconds`, or how far it is from the others (`error`).

    The routes take turns. Theirs have channels first and period two sequences, ours channels last.
    """
    arrays = random_operands(problem, seed)
    found = {name: _ours(problem, arrays, name) for name in names()}
    found[JAX] = _jax(problem, arrays)
    if torch:
        found[TORCH] = _torch(problem, arrays)
    limit = ERROR[problem.dtype.name]
    result: dict[str, Any] = {}
    for which in passes:
        expected = found[JAX].result(which)
        errors = {name: largest_error(c.result(which), expected) for name, c in found.items()}
        right = {n: c.run[which] for n, c in found.items() if errors[n] <= limit}
        times = interleaved(right, seconds=seconds, warm=True)
        rows: dict[str, dict[str, Any]] = {n: {"error": str(e)} for n, e in errors.items()}
        result[which] = rows | {n: {"seconds": median(t)} for n, t in times.items()}
    return result


def _ours(problem: Problem, arrays: Operands, name: str) -> Contender:
    options = {"padding": problem.padding, "groups": problem.groups, "algorithm": name}
    forward = functools.partial(ops.conv, **options)
    return compiled(forward, arrays)


def _sequences(arrays: Operands) -> Operands:
    """`x` and `dy` as `(batch, channels, n)`, the kernel as `(channels, taps)` from lag 0 on."""
    x, kernel, dy = arrays
    first = lambda a: np.ascontiguousarray(np.swapaxes(a, 1, 2))
    return Operands(first(x), np.ascontiguousarray(kernel[::-1, 0].T), first(dy))


def _restored(result: Sequence[Any]) -> tuple[np.ndarray, ...]:
    y, *gradients = (np.asarray(a) for a in result)
    if not gradients:
        return (np.swapaxes(y, 1, 2),)
    dx, dk = gradients
    return np.swapaxes(y, 1, 2), np.swapaxes(dx, 1, 2), dk.T[::-1, None]


def _period(problem: Problem) -> int:
    """As one would take it: of the powers of two, which all libraries are fast for."""
    (n,), (taps,) = problem.spatial, problem.kernel_size
    return 1 << math.ceil(math.log2(n + taps - 1))


def _jax(problem: Problem, arrays: Operands) -> Contender:
    size, (n,) = _period(problem), problem.spatial

    def forward(x, kernel):
        product = jnp.fft.rfft(x.astype(float), size) * jnp.fft.rfft(kernel.astype(float), size)
        return jnp.fft.irfft(product, size)[..., :n].astype(x.dtype)

    return compiled(forward, _sequences(arrays), _restored)


def _torch(problem: Problem, arrays: Operands) -> Contender:
    import torch
    from torch import fft

    torch.set_num_threads(os.cpu_count() or 1)
    size, (n,) = _period(problem), problem.spatial
    x, kernel, dy = map(torch_tensor, _sequences(arrays))

    def compute(x, kernel):
        product = fft.rfft(x.float(), size) * fft.rfft(kernel.float(), size)
        return fft.irfft(product, size)[..., :n].to(x.dtype)

    def forward():
        with torch.inference_mode():
            y = compute(x, kernel)
        torch_synchronize()
        return y

    def gradients():
        operands = x.detach().requires_grad_(), kernel.detach().requires_grad_()
        y = compute(*operands)
        result = y.detach(), *torch.autograd.grad(y, operands, dy)
        torch_synchronize()
        return result

    restore = lambda result: _restored([t.float().cpu() for t in result])
    return Contender({"forward": forward, "gradients": gradients}, restore)
