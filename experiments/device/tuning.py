"""Which algorithm is fastest in each pass of the grid: a table for this device, and its rules."""

import functools
from collections.abc import Iterator
from statistics import geometric_mean

import jax

from cnnlab.bench.tuning import measure_algorithms
from cnnlab.ops import PASSES, REFERENCE, Problem
from cnnlab.ops.choice import MARGIN, predicted
from cnnlab.ops.table import Table, key, machine, remember
from experiments.device import Job, cells, table
from experiments.device.speed import problems

SECONDS = 0.02  # of each algorithm in each pass


def part(job: Job) -> list[str]:
    """Every algorithm worth trying in the grid's cases; beside the page a table of what they took,
    as the package's own are: what is copied to its `ops/tables` is taken by `auto` there."""
    entries: Table = {}
    rows = []
    for name, problem in problems(job):
        rows.append([name, *cells(functools.partial(_fastest, problem, entries), job, 3)])
    heading = ["case", *(which.replace("_", " ") for which in PASSES)]
    platform = jax.default_backend()
    file = remember(entries, platform, job.page.with_suffix(".json"))
    about = [
        f"Milliseconds of the fastest algorithm (of `{REFERENCE}`), medians of calls each waited "
        f"for. All times: {file.name}, to be copied to cnnlab/ops/tables/{machine(platform)}.json.",
    ]
    kept = dict(problems(job)).values()
    measured = {p: entries[key(p)] for p in kept if key(p) in entries}
    return [*about, "", *table(heading, rows), "", *rules(measured), "", *_lost(measured)]


def _fastest(problem: Problem, entries: Table, job: Job) -> list[str]:
    del job
    passes = measure_algorithms(problem, seconds=SECONDS)
    entries[key(problem)] = passes
    shown = []
    for times in passes.values():
        best = min(times, key=times.__getitem__)
        shown.append(f"{best} {times[best]:.3g} ({times[REFERENCE]:.3g})")
    return shown


Measured = dict[Problem, dict[str, dict[str, float]]]


def kind(problem: Problem) -> str:
    """What rules are about: `depthwise dilated float32`, `dense 1x1 bfloat16`."""
    words = ["depthwise" if problem.depthwise else "grouped" if problem.groups > 1 else "dense"]
    words += ["" if problem.rank == 2 else f"{problem.rank}-D"]
    words += ["1x1" if problem.taps == 1 else "long" if problem.taps > 100 else ""]
    words += ["strided" if max(problem.stride) > 1 else ""]
    words += ["dilated" if max(problem.dilation) > 1 else ""]
    return " ".join(filter(None, [*words, problem.dtype.name]))


def rules(measured: Measured) -> Iterator[str]:
    """Of which kinds and passes XLA's own is not the fastest by more than what tells them apart."""
    lost: dict[tuple[str, str, str], list[float]] = {}
    count = 0
    for problem, passes in measured.items():
        for which, times in passes.items():
            count += 1
            best = min(times, key=times.__getitem__)
            if times[REFERENCE] >= (1 + MARGIN) * times[best]:
                lost.setdefault((kind(problem), which, best), []).append(
                    times[REFERENCE] / times[best]
                )
    total = sum(map(len, lost.values()))
    yield f"`{REFERENCE}` loses by more than {MARGIN:.0%} in {total} of {count} passes of cases:"
    yield ""
    for (what, which, best), ratios in sorted(lost.items()):
        by = f"{geometric_mean(ratios):.2g} times as fast"
        yield f"- {what}, {which.replace('_', ' ')}: `{best}`, {by} (cases: {len(ratios)})"


def _lost(measured: Measured) -> Iterator[str]:
    """What `auto` takes without the table, beside the fastest."""
    platform, ratios = jax.default_backend(), []
    for problem, passes in measured.items():
        for which in PASSES:
            times = passes[which]
            taken = predicted(list(times), problem, which, platform)
            ratios.append(times[taken] / min(times.values()))
    if ratios:
        said = f"{geometric_mean(ratios):.2f} times the fastest's time, at worst {max(ratios):.2f}"
        yield f"Without the table `auto` takes {said}."
