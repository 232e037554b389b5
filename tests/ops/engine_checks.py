"""The native engine's results beside a plain loop."""

import functools
import itertools

import numpy as np
from primitive_cases import arrays, compiled

from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES


def check_engine(engine, problem, limit):
    """All passes within `limit` of the float64 loop, in every layout of the kernel."""
    x, kernel, dy = arrays(problem)
    operands = (x, kernel), (dy, kernel), (x, dy)
    maps = [functools.partial(engine.compute, which) for which in PASSES]
    # Another layout of the kernel inside.
    maps += [m for which in PASSES if (m := engine.outputs_first(problem, which))]
    assert len(maps) == (6 if problem.groups == 1 else 3)
    run = compiled(lambda pairs: [m(*pairs[i % 3], problem) for i, m in enumerate(maps)])
    results = convolution(x, kernel, dy, problem)
    for got, expected in zip(run(operands), itertools.cycle(results), strict=False):
        assert got.shape == expected.shape and got.dtype == problem.dtype
        assert relative_error(np.asarray(got, np.float64), expected) <= limit
