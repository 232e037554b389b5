"""Values and both gradients of every algorithm that serves here, against float64 on the host."""

import jax
import numpy as np

from cnnlab.bench.agreement import computed
from cnnlab.bench.geometries import random_problem
from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES, REGISTRY
from experiments.device import Job, one_line, table


def part(job: Job) -> list[str]:
    """Random geometries in turns, as many as there is time for.

    The limits hold for sums in float32 (`highest`); what the device does when it is not told, with
    numbers of fewer bits where it likes, is shown beside.
    """
    names = [name for name, a in REGISTRY.items() if a.unavailable() is None]
    errors = {name: {"highest": [0.0] * 3, "default": [0.0] * 3} for name in names}
    counts, failed = dict.fromkeys(names, 0), {}
    rng = np.random.default_rng(0)
    most = 1 if job.small else 50
    on_time = lambda: job.left() > 0 or not any(counts.values())
    while names and min(counts[name] for name in names) < most and on_time():
        for name in filter(lambda _: on_time(), list(names)):
            problem = random_problem(name, rng)
            shapes = problem.x_shape, problem.kernel_shape, problem.y_shape
            arrays = [rng.standard_normal(s).astype(np.float32) for s in shapes]
            wanted = convolution(*arrays, problem)
            try:
                for precision in errors[name]:
                    with jax.default_matmul_precision(precision):
                        found = computed(name, arrays, problem, {})
                    new = map(relative_error, found, wanted)
                    errors[name][precision] = list(map(max, errors[name][precision], new))
                counts[name] += 1
            except Exception as error:
                failed[name] = one_line(error)
                names.remove(name)
    rows = []
    for name in errors:
        pairs = zip(*errors[name].values(), strict=True)
        cells = [f"{exact:.0e} ({default:.0e})" if counts[name] else "" for exact, default in pairs]
        verdict = failed.get(name) or _verdict(name, errors[name]["highest"], counts[name])
        rows.append([name, counts[name], *cells, verdict])
    heading = ["algorithm", "geometries", *(w.replace("_", " ") for w in PASSES), "limit"]
    about = "Largest relative error at the highest precision (and at the default one)."
    missing = [f"- {n}: {a.unavailable()}" for n, a in REGISTRY.items() if a.unavailable()]
    return [about, "", *table(heading, rows), "", *missing]


def _verdict(name: str, errors: list[float], count: int) -> str:
    limit = REGISTRY[name].tolerance(np.float32)
    if not count:
        return "no time left"
    return f"{limit:.0e}" + ("" if max(errors) <= limit else " **broken**")
