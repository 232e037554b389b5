"""Values and both gradients of every algorithm that serves here, against float64 on the host."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.bench.agreement import computed, passes
from cnnlab.bench.geometries import random_problem
from cnnlab.bench.grid import title
from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import FOURIER, PASSES, REFERENCE, REGISTRY, Problem, describe
from experiments.device import Job, cells, one_line, table, timed

# Numbers and what products of them are rounded to: as told, and as the device likes.
EXACT, DEFAULT, NARROW = WAYS = (
    ("float32", "highest"), ("float32", "default"), ("bfloat16", "default")
)  # fmt: skip


def algorithms(job: Job) -> list[str]:
    """Random geometries in turns, as many as there is time for.

    The limits hold for sums in float32 (`highest`), and for bfloat16, whose products need no more;
    what the device does with float32 when it is not told, with numbers of fewer bits where it
    likes, is shown beside.
    """
    names = [name for name, a in REGISTRY.items() if a.unavailable() is None]
    errors = {name: {way: [0.0] * 3 for way in WAYS} for name in names}
    counts, failed = dict.fromkeys(names, 0), {}
    rng = np.random.default_rng(0)
    most = 1 if job.small else 50
    on_time = lambda: job.left() > 0 or not any(counts.values())
    while names and min(counts[name] for name in names) < most and on_time():
        for name in filter(lambda _: on_time(), list(names)):
            problem = random_problem(name, rng)
            try:
                for way, worst in errors[name].items():
                    errors[name][way] = list(map(max, worst, _errors(name, problem, way)))
                counts[name] += 1
            except Exception as error:
                failed[name] = one_line(error)
                names.remove(name)
    rows = []
    for name, found in errors.items():
        shown = [f"{a:.0e} ({b:.0e}; {c:.0e})" for a, b, c in zip(*found.values(), strict=True)]
        verdict = failed.get(name) or _verdict(name, found, counts[name])
        rows.append([name, counts[name], *(shown if counts[name] else [""] * 3), verdict])
    heading = ["algorithm", "geometries", *(w.replace("_", " ") for w in PASSES), "limits"]
    about = (
        "Largest relative error in float32 at the highest precision (the default one; bfloat16)."
    )
    missing = [f"- {n}: {a.unavailable()}" for n, a in REGISTRY.items() if a.unavailable()]
    return [about, "", *table(heading, rows), "", *missing]


def _errors(name: str, problem: Problem, way: tuple[str, str]) -> list[float]:
    """Of the three passes, of numbers that the type can hold."""
    dtype, precision = way
    problem, rng = replace(problem, dtype=np.dtype(dtype)), np.random.default_rng(0)
    shapes = problem.x_shape, problem.kernel_shape, problem.y_shape
    arrays = [rng.standard_normal(s).astype(problem.dtype) for s in shapes]
    with jax.default_matmul_precision(precision):
        found = computed(name, arrays, problem, {})
    return list(map(relative_error, found, convolution(*arrays, problem)))


def _verdict(name: str, errors: dict[tuple[str, str], list[float]], count: int) -> str:
    if not count:
        return "no time left"
    limits = {way: REGISTRY[name].tolerance(way[0]) for way in (EXACT, NARROW)}
    broken = any(max(errors[way]) > limit for way, limit in limits.items())
    return "; ".join(f"{v:.0e}" for v in limits.values()) + (" **broken**" if broken else "")


CASES = (
    describe((256, 16, 16, 256), (3, 3, 256, 256)),
    describe((256, 16, 16, 512), (1, 1, 512, 512)),
    describe((256, 16, 16, 256), (3, 3, 32, 256), groups=8),
    describe((8, 1024, 64), (1024, 1, 64), padding="CAUSAL", groups=64),
)


COMPARED = DEFAULT, ("float32", "high"), EXACT, NARROW


def precision(job: Job) -> list[str]:
    """What float32 is by default on this device (TF32, say), beside the highest precision and
    bfloat16: errors of long sums, and what they cost."""
    rows = []
    small = (describe((2, 8, 8, 16), (3, 3, 16, 16)),)
    for problem in small if job.small else CASES:
        for name in (REFERENCE, FOURIER) if problem.taps > 64 else (REFERENCE,):
            run = functools.partial(_precisions, problem, name)
            rows.append([title(problem), name, *cells(run, job, len(COMPARED))])
    heading = ["case", "algorithm", *(f"{dtype}, {how}" for dtype, how in COMPARED)]
    about = (
        "Largest relative error of the first example's result and input gradient, against float64; "
        "milliseconds of both and the kernel's gradient, of all examples."
    )
    return [about, "", *table(heading, rows)]


def _precisions(problem: Problem, name: str, job: Job) -> list[str]:
    one, rng = replace(problem, batch=1), np.random.default_rng(0)
    shapes = problem.x_shape, problem.kernel_shape, problem.y_shape
    drawn = [rng.standard_normal(s, np.float32) for s in shapes]
    shown, wanted = [], {}
    for dtype, how in COMPARED:
        of_type = replace(problem, dtype=np.dtype(dtype))
        x, kernel, dy = (a.astype(of_type.dtype) for a in drawn)
        if dtype not in wanted:
            wanted[dtype] = convolution(x[:1], kernel, dy[:1], one)
        with jax.default_matmul_precision(how):
            arrays = map(jnp.asarray, (x, kernel, dy))
            run = functools.partial(passes(name, of_type, {}), *arrays)
            found = [np.asarray(a[:1]) for a in run()[:2]]
            ms = timed(run, job)
        error = max(map(relative_error, found, wanted[dtype]))
        shown.append(f"{error:.0e}, {ms:.3g} ms")
    return shown
