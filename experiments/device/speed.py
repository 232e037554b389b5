"""Times: training steps, convolutions, long convolutions; and memory."""

import functools
import resource
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import ops
from cnnlab.bench import contenders as routes
from cnnlab.bench.grid import GRID, title
from cnnlab.bench.steps import Job as StepJob
from cnnlab.bench.steps import contenders
from cnnlab.ops import FOURIER, Problem, describe
from experiments.device import Job, one_line, table, timed

CASES = (
    "3x3 3->32, 32x32",
    "3x3 64->64, 32x32",
    "3x3 256->256, 8x8",
    "1x1 128->256, 16x16",
    "3x3 64->128, 32x32, stride 2",
    "8 groups 3x3 128, 16x16",
    "depthwise 3x3 128, 16x16",
    "depthwise 31x31 32, 32x32, batch 16",
    "1-D depthwise k=31 64, 4096, batch 8",
    "3x3x3 16->32, 16x16x16, batch 8",
)


# Beside XLA's, whose products may have short numbers too.
WRONG = 5e-3
LENGTHS = ((8, 1024, 64), (8, 4096, 64), (4, 16384, 32), (2, 65536, 32))


def steps(job: Job) -> list[str]:
    """Whole training steps as `bench_step` times them."""
    peers, note = _peers(("eqx", "torch"))
    rows = []
    for precision in ("float32",) if job.small else ("float32", "bfloat16"):
        plan = (4, "M", 8) if job.small else (32, 32, "M", 64, 64, "M", 128, 128)
        shape, batch = ((8, 8, 1), 8) if job.small else ((28, 28, 1), 128)
        for name, run in contenders(StepJob(plan, shape, batch, precision, 0), peers).items():
            rows.append([precision, name, *_row(functools.partial(_rate, run, batch), job)])
    return [*note, *table(["precision", "step", "images/s"], rows)]


def _rate(run: Callable[[], Any], batch: int, job: Job) -> str:
    return f"{1e3 * batch / timed(run, job):,.0f}"


def grid(job: Job) -> list[str]:
    """Ten cases of the convolution grid: `auto`, XLA and PyTorch."""
    peers, note = _peers(("torch",))
    small = [describe((2, 8, 8, 3), (3, 3, 3, 4))]
    problems = {title(p): p for p in (small if job.small else map(GRID.__getitem__, CASES))}
    rows = []
    for name, problem in problems.items():
        rows += [[name, which, *_row(functools.partial(_times, problem, which, peers), job, 3)]
                 for which in routes.TIMED_PASSES]  # fmt: skip
    heading = ["case", "pass", routes.REFERENCE, "auto", "torch"]
    return [*note, "Milliseconds, the fastest of some calls.", "", *table(heading, rows)]


def _times(problem: Problem, which: str, peers: list[str], job: Job) -> list[str]:
    made = routes.contenders(problem, routes.random_operands(problem, 0), [], peers)
    reference = made[routes.REFERENCE].result(which)
    times = {}
    for name, contender in made.items():
        if name != routes.PORTABLE:
            off = routes.largest_error(contender.result(which), reference)
            wrong = "" if off <= WRONG else f" (off by {off:.0e})"
            times[name] = timed(contender.run[which], job), wrong
    torch = [times[name] for name in times if name.startswith("torch")]
    shown = [times[routes.REFERENCE], times["auto"], *([min(torch)] if torch else [])]
    cells = [f"{ms:.3g}{wrong}" for ms, wrong in shown]
    return cells + [""] * (3 - len(cells))


def long(job: Job) -> list[str]:
    """Causal depthwise convolutions with kernels as long as the input, forward pass."""
    peers, note = _peers(("torch",))
    rows = []
    for batch, n, channels in ((1, 64, 4),) if job.small else LENGTHS:
        run = functools.partial(_long, batch, n, channels, bool(peers))
        rows.append([f"{batch} x {n:,} x {channels}", *_row(run, job, 3)])
    heading = ["batch x length x channels", FOURIER, "auto", "torch.fft"]
    return [*note, "Milliseconds, the fastest of some calls.", "", *table(heading, rows)]


def _long(batch: int, n: int, channels: int, peer: bool, job: Job) -> list[str]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, n, channels), np.float32)
    kernel = rng.standard_normal((n, 1, channels), np.float32) / np.float32(np.sqrt(n))
    arrays = jnp.asarray(x), jnp.asarray(kernel)
    times, values = [], []
    for algorithm in (FOURIER, "auto"):
        call = functools.partial(ops.conv, padding="CAUSAL", groups=channels, algorithm=algorithm)
        run = functools.partial(jax.jit(call), *arrays)
        values.append(np.asarray(run()))
        times.append(f"{timed(run, job):.3g}")
    if not peer:
        return [*times, ""]
    import torch

    tx, tk = (torch.from_numpy(a).to(routes.torch_device()) for a in (x, kernel[::-1, 0].copy()))

    def transform() -> Any:
        product = torch.fft.rfft(tx, 2 * n, 1) * torch.fft.rfft(tk, 2 * n, 0)
        y = torch.fft.irfft(product, 2 * n, 1)[:, :n]
        routes.torch_synchronize()
        return y

    off = np.abs(values[0] - transform().cpu().numpy()).max()
    return [*times, f"{timed(transform, job):.3g}" + ("" if off < 1e-3 else f" (off by {off:.0e})")]


def memory(job: Job) -> list[str]:
    """The most that was in use on the device and in this process."""
    del job
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    lines = [f"- this process: {process:,.0f} MB"]
    for device in jax.devices():
        found = device.memory_stats() or {}
        peak, limit = (found.get(k, 0) / 2**20 for k in ("peak_bytes_in_use", "bytes_limit"))
        shown = f"{peak:,.0f} MB of {limit:,.0f}" if peak else "does not say"
        lines.append(f"- device {device.id}: {shown}")
    return lines


def _peers(wanted: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Those that are here, and a line about PyTorch where it is not."""
    missing = routes.torch_missing()
    return [p for p in wanted if p != "torch" or missing is None], (
        [f"No PyTorch: {missing}.", ""] if missing else []
    )


def _row(run: Callable[[Job], Any], job: Job, cells: int = 1) -> list[str]:
    """What one case gives; a failure, or no time, is said in its place."""
    if job.left() <= 0:
        return ["no time left"] + [""] * (cells - 1)
    try:
        found = run(job)
    except Exception as error:
        found = one_line(error)
    found = [found] if isinstance(found, str) else list(found)
    return found + [""] * (cells - len(found))
