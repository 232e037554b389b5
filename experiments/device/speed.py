"""Times: training steps, convolutions, long convolutions; and memory."""

import functools
import resource
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.bench import contenders as routes
from cnnlab.bench import long as sequences
from cnnlab.bench.grid import GRID, title
from cnnlab.bench.steps import Job as StepJob
from cnnlab.bench.steps import contenders
from cnnlab.bench.timing import warmed
from cnnlab.ops import Problem, describe
from experiments.device import PRECISIONS, Job, cells, table, timed

CASES: Mapping[str, Problem] = {
    **{
        name: GRID[name]
        for name in (
            "3x3 3->32, 32x32",
            "3x3 64->64, 32x32",
            "3x3 256->256, 8x8",
            "1x1 128->256, 16x16",
            "3x3 64->128, 32x32, stride 2",
            "3x3 64->64, 32x32, dilation 2",
            "8 groups 3x3 128, 16x16",
            "depthwise 3x3 128, 16x16",
            "depthwise 31x31 32, 32x32, batch 16",
            "1-D depthwise k=31 64, 4096, batch 8",
            "3x3x3 16->32, 16x16x16, batch 8",
        )
    },
    # Groups with dilation, of which XLA's choice was slow on GPUs (jax #26266).
    **{
        title(p): p
        for p in (
            describe((64, 32, 32, 128), (3, 3, 16, 128), dilation=4, groups=8),
            describe((64, 32, 32, 128), (3, 3, 1, 128), dilation=4, groups=128),
            describe((32, 1024, 64), (7, 1, 64), dilation=16, groups=64),
        )
    },
}
SMALL: Mapping[str, Problem] = {title(p): p for p in (describe((2, 8, 8, 3), (3, 3, 3, 4)),)}
# Beside XLA's, whose products may have short numbers too.
WRONG = {"float32": 5e-3, "bfloat16": 3e-2}
LENGTHS = ((8, 1024, 64), (8, 4096, 64), (4, 16384, 32), (2, 65536, 32))
FASTEST = "Milliseconds, the fastest of some calls, each waited for"


def problems(job: Job) -> list[tuple[str, Problem]]:
    """The cases by name, all in float32 and then all in bfloat16."""
    chosen = SMALL if job.small else CASES
    return [
        (f"{name}, {precision}", replace(problem, dtype=np.dtype(precision)))
        for precision in PRECISIONS
        for name, problem in chosen.items()
    ]


def steps(job: Job) -> list[str]:
    """Whole training steps as `bench_step` times them; what compiles longest comes last."""
    peers, note = _peers(("eqx", "torch"))
    plan = (4, "M", 8) if job.small else (32, 32, "M", 64, 64, "M", 128, 128)
    shape, batch = ((8, 8, 1), 8) if job.small else ((28, 28, 1), 128)
    found = {
        (name, precision): run
        for precision in PRECISIONS
        for name, run in contenders(StepJob(plan, shape, batch, precision, 0), peers).items()
    }
    rates = {
        key: cells(functools.partial(_rate, found[key], batch), job)
        for key in sorted(found, key=lambda key: key[0].endswith("compiled"))
    }
    names = dict.fromkeys(name for name, _ in found)
    rows = [[name, *(rates[name, precision][0] for precision in PRECISIONS)] for name in names]
    return [*note, "Images a second.", "", *table(["step", *PRECISIONS], rows)]


def _rate(run: Callable[[], Any], batch: int, job: Job) -> str:
    return f"{1e3 * batch / timed(run, job):,.0f}"


def grid(job: Job) -> list[str]:
    """Cases of the convolution grid: `auto`, XLA and PyTorch."""
    peers, note = _peers(("torch",))
    rows = []
    for name, problem in problems(job):
        found = cells(functools.partial(_times, problem, peers), job, 6)
        rows.append([name, *found])
    heading = ["case", *(f"{which}: {who}" for which in routes.TIMED_PASSES
                         for who in (routes.REFERENCE, "auto", "torch"))]  # fmt: skip
    return [*note, f"{FASTEST}; {_least(job)}.", "", *table(heading, rows)]


def _least(job: Job) -> str:
    """What any call takes."""
    nothing, one = jax.jit(lambda x: x + 1), jnp.zeros(1)
    return f"one that does nothing takes {timed(functools.partial(nothing, one), job):.3g}"


def _times(problem: Problem, peers: list[str], job: Job) -> list[str]:
    arrays = routes.random_operands(problem, 0)
    made = routes.contenders(problem, arrays, [], peers)
    made.pop(routes.PORTABLE, None)
    ours = {routes.REFERENCE, "auto"}
    warmed(made[name].run[which] for name in ours for which in routes.TIMED_PASSES)
    shown = []
    for which in routes.TIMED_PASSES:
        reference = made[routes.REFERENCE].result(which)
        times = {}
        for name, contender in made.items():
            off = routes.largest_error(contender.result(which), reference)
            wrong = "" if off <= WRONG[problem.dtype.name] else f" (off by {off:.0e})"
            times[name] = timed(contender.run[which], job), wrong
        torch = [times[name] for name in times if name not in ours]
        best = [times[routes.REFERENCE], times["auto"], *([min(torch)] if torch else [])]
        row = [f"{ms:.3g}{wrong}" for ms, wrong in best]
        shown += row + [""] * (3 - len(row))
    return shown


def long(job: Job) -> list[str]:
    """Causal depthwise convolutions with kernels as long as the input: our transforms, those that
    are products of matrices among them, and transforms as JAX's and PyTorch's users write them."""
    peers, note = _peers(("torch",))
    columns = [*sequences.names(), sequences.JAX, *([sequences.TORCH] if peers else [])]
    rows = []
    for precision in PRECISIONS:
        for batch, n, channels in ((1, 64, 4),) if job.small else LENGTHS:
            kernel = (n, 1, channels)
            problem = describe(
                (batch, n, channels), kernel, padding="CAUSAL", groups=channels, dtype=precision
            )
            run = functools.partial(_long, problem, columns)
            about = f"{batch} x {n:,} x {channels}, {precision}"
            rows.append([about, *cells(run, job, len(columns))])
    heading = ["batch x length x channels", *columns]
    about = "Milliseconds, medians: forward / with both gradients."
    return [*note, about, "", *table(heading, rows)]


def _long(problem: Problem, columns: list[str], job: Job) -> list[str]:
    seconds = max(min(0.1, job.left() / 20), 0.001)
    there = sequences.TORCH in columns
    found = sequences.measure(problem, routes.TIMED_PASSES, there, seconds, 0)

    def shown(row: Mapping[str, Any]) -> str:
        return f"{1e3 * row['seconds']:.3g}" if "seconds" in row else f"(off by {row['error']:.5})"

    passes = [found[which] for which in routes.TIMED_PASSES]
    return [" / ".join(shown(rows[name]) for rows in passes) for name in columns]


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
    """Those that are here, and a line about PyTorch: how it computes, or why it is not there."""
    missing = routes.torch_missing()
    if missing:
        return [p for p in wanted if p != "torch"], [f"No PyTorch: {missing}.", ""]
    import torch

    torch.backends.cudnn.benchmark = True  # as XLA does: the fastest of the library's, tried here
    allowed = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    said = (
        f"PyTorch {torch.__version__}: TF32 in convolutions {allowed[0]}, in products {allowed[1]}."
    )
    return list(wanted), [said, ""]
