"""Long causal convolutions beside transforms as one writes them with JAX and PyTorch."""

import functools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from cnnlab import ops
from cnnlab.bench.contenders import (
    Contender,
    Operands,
    compiled,
    largest_error,
    random_operands,
)
from cnnlab.bench.report import WORDS
from cnnlab.bench.timing import interleaved
from cnnlab.files import write_figure
from cnnlab.ops import REGISTRY, Problem, describe
from cnnlab.ops.algorithms.fft_monarch import FFT_MONARCH

JAX, TORCH = "jnp.fft", "torch.fft"
# Examples, channels, length.
SHAPES = (
    (8, 64, 1024), (8, 64, 2048), (8, 64, 4096), (4, 32, 16384), (2, 32, 65536), (2, 16, 131072),
    (2, 16, 262144), (2, 16, 1048576),
)  # fmt: skip
SHARES = (1, 16)  # the kernel is as long as the sequence, and a part of that
ERROR = 1e-4  # largest, beside the largest entry of a result


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
    result: dict[str, Any] = {}
    for which in passes:
        expected = found[JAX].result(which)
        errors = {name: largest_error(c.result(which), expected) for name, c in found.items()}
        right = {n: c.run[which] for n, c in found.items() if errors[n] <= ERROR}
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
        return jnp.fft.irfft(jnp.fft.rfft(x, size) * jnp.fft.rfft(kernel, size), size)[..., :n]

    return compiled(forward, _sequences(arrays), _restored)


def _torch(problem: Problem, arrays: Operands) -> Contender:
    import torch
    from torch import fft

    torch.set_num_threads(os.cpu_count() or 1)
    size, (n,) = _period(problem), problem.spatial
    x, kernel, dy = map(torch.from_numpy, _sequences(arrays))

    def compute(x, kernel):
        return fft.irfft(fft.rfft(x, size) * fft.rfft(kernel, size), size)[..., :n]

    def forward():
        with torch.inference_mode():
            return compute(x, kernel)

    def gradients():
        operands = x.detach().requires_grad_(), kernel.detach().requires_grad_()
        y = compute(*operands)
        return y.detach(), *torch.autograd.grad(y, operands, dy)

    return Contender({"forward": forward, "gradients": gradients}, _restored)


Cases = Mapping[str, Mapping[str, Any]]


def table(cases: Cases, which: str) -> str:
    """A Markdown table of one pass: milliseconds, and of `auto` the ratios of times."""
    routes = [*names(), JAX, TORCH]
    peers = [JAX, TORCH]
    lines = [["case", *routes, *(f"auto/{peer}" for peer in peers)]]
    lines.append(["---", *["---:"] * (len(lines[0]) - 1)])
    ratios: dict[str, list[float]] = {peer: [] for peer in peers}
    for name, case in cases.items():
        rows = case["passes"][which]
        seconds = {n: rows[n]["seconds"] for n in routes if "seconds" in rows.get(n, {})}
        cells = [f"{1e3 * seconds[n]:.3g}" if n in seconds else "-" for n in routes]
        for peer in peers:
            both = "auto" in seconds and peer in seconds
            if both:
                ratios[peer].append(seconds["auto"] / seconds[peer])
            cells.append(f"{ratios[peer][-1]:.2f}" if both else "-")
        lines.append([name, *cells])
    means = (f"{geometric_mean(r):.2f}, worst {max(r):.2f}" if r else "-" for r in ratios.values())
    lines.append(["geometric mean", *["" for _ in routes], *means])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(machine: Mapping[str, Any], cases: Cases, passes: Sequence[str]) -> str:
    """The tables of all passes."""
    head = f"{machine['cores']} cores, {machine['processor']}; medians in milliseconds"
    parts = [f"## {WORDS[which].capitalize()}\n\n{table(cases, which)}" for which in passes]
    return "\n\n".join(["# Long causal depthwise convolutions", head, *parts]) + "\n"


def figure(cases: Cases, passes: Sequence[str], path: Path) -> Path:
    """Time an entry against length, a panel a pass and a share of the kernel."""
    points: dict[int, dict[int, Any]] = {}  # of each share, by length
    sizes: dict[int, int] = {}
    for name, case in cases.items():
        b, c, n = map(int, name.split(",")[0].split("x"))
        share = n // int(name.split()[-1])
        points.setdefault(share, {})[n] = case["passes"]
        sizes[n] = b * c * n
    drawn = Figure(figsize=(5 * len(passes), 4 * len(points)), layout="constrained")
    panels = drawn.subplots(len(points), len(passes), squeeze=False)
    for axes_of_share, (share, of_length) in zip(panels, points.items(), strict=True):
        for axes, which in zip(axes_of_share, passes, strict=True):
            for route in [*names(), JAX, TORCH]:
                each: dict[int, float] = {}
                for n, found in of_length.items():
                    row = found[which].get(route, {})
                    if "seconds" in row:
                        each[n] = 1e9 * row["seconds"] / sizes[n]
                axes.plot(list(each), list(each.values()), marker="o", label=route)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_title(f"{WORDS[which]}, kernel n{f' / {share}' * (share > 1)}")
            axes.set_xlabel("length n")
            axes.set_ylabel("nanoseconds an entry")
            axes.grid(alpha=0.3)
    lines = panels[0, 0].get_legend_handles_labels()
    drawn.legend(*lines, loc="outside lower center", ncols=len(lines[1]))
    write_figure(path, drawn)
    return path
