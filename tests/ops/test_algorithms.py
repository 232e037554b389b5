"""Each algorithm by itself: where its own arithmetic could go wrong.

What is peculiar to one is in `tests/ops/algorithms`, in a file of its own.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithm_checks import AXES, along, are_exact, passes
from primitive_cases import NAMES, arrays, compiled, in_tiles, served

from cnnlab import ops
from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES, REFERENCE, REGISTRY, describe
from cnnlab.ops.algorithms import tiles

# Of any window and step, in groups or not.
GENERAL = [
    name
    for name, a in REGISTRY.items()
    if a.unavailable() is None and a.domain.stepped and a.domain.kernel_size is None
]


def cuts_the_batch(small):
    """Whether it asks for the size of a tile."""
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "tile_size", lambda batch, *_: asked.append(batch) or batch)
        x, kernel, dy = arrays(small.problem)
        pairs = (x, kernel), (dy, kernel), (x, dy)
        for which, pair in zip(PASSES, pairs, strict=True):
            compute = functools.partial(small.algorithm.compute, which, problem=small.problem)
            jax.eval_shape(compute, *pair)
    return bool(asked)


@pytest.mark.parametrize("name", GENERAL)
def test_strides_dilations_and_paddings_that_leave_something_over(name):
    cases = list(AXES.values())
    pairs = zip(cases, cases[4:] + cases[:4], strict=True)
    problems = [along([axis], (2, 4), 2) for axis in cases]
    problems += [along(pair, (2, 3), 1) for pair in list(pairs)[::2]]
    are_exact(name, [p for p in problems if REGISTRY[name].refusal(p) is None])


PADDED = [s.name for s in served() if s.rank == 2 and s.algorithm.domain.padded]


@pytest.mark.parametrize("name", PADDED)
def test_more_padding_than_kernel_on_one_side(name):
    """Whose input gradient crops before and pads after; jaxlib 0.10.1 reads beyond the array."""
    domain = REGISTRY[name].domain
    k, c = domain.kernel_size or 2, domain.lanes * 3
    lines = [((4, 7, c), (k, c, 2 * c), (pad,)) for pad in ((k + 1, 0), (0, k + 1), (k + 4, k - 2))]
    plane = ((2, 5, 6, c), (k, k, c, c), ((k + 1, 0), (0, k + 2)))
    problems = [describe(x, kernel, padding=pad) for x, kernel, pad in (*lines, plane)]
    are_exact(name, [p for p in problems if REGISTRY[name].refusal(p) is None])


@pytest.mark.parametrize("tile", [1, 3])
@pytest.mark.parametrize("small", [s for s in served() if cuts_the_batch(s)], ids=str)
def test_any_tile_gives_the_same(monkeypatch, small, tile):
    in_tiles(monkeypatch, tile)
    are_exact(small.name, [small.at(batch=6)])


@pytest.mark.parametrize("small", served(float), ids=str)
def test_float64_is_exact(small):
    with jax.enable_x64(True):
        are_exact(small.name, [dataclasses.replace(small.problem, dtype=np.dtype(float))], 1e-12)


# Each type with every algorithm, in sequences or images.
HALVES = [(s, jnp.bfloat16) for s in served() if s.rank == 2]
HALVES += [(s, jnp.float16) for s in served() if s.rank == (1 if s.name in NAMES else 2)]


@pytest.mark.parametrize(("small", "dtype"), HALVES, ids=str)
def test_16_bit_results_are_rounded_once(monkeypatch, small, dtype):
    """Values and gradients differ from the exact ones by the last rounding, and no more; also
    where they are sums over tiles."""
    in_tiles(monkeypatch, 1)
    problem = small.at(batch=6, dtype=dtype)
    values = arrays(problem)
    [result] = passes(small.name, [problem], [values])
    half_step = float(jnp.finfo(dtype).eps) / 2
    for got, expected in zip(result, convolution(*values, problem), strict=True):
        assert got.dtype == dtype
        noise = 2e-5 * np.max(np.abs(expected))
        difference = np.abs(got.astype(np.float64) - expected)
        assert np.all(difference <= half_step * np.abs(expected) * 1.01 + noise)


def test_complex_numbers():
    """Values and gradients; transposes do not conjugate."""
    problem = describe((2, 6, 4), (3, 2, 4), groups=2, stride=2, dtype=np.complex64)
    real, imaginary = arrays(problem, 0, np.float32), arrays(problem, 1, np.float32)
    values = [a + 1j * b for a, b in zip(real, imaginary, strict=True)]

    @compiled
    def passes(x, kernel, dy):
        call = functools.partial(ops.conv, groups=2, stride=2, algorithm=REFERENCE)
        transpose = lambda f, like: jax.linear_transpose(f, like)(dy)[0]
        in_x, in_kernel = lambda x: call(x, kernel), lambda k: call(x, k)
        return call(x, kernel), transpose(in_x, x), transpose(in_kernel, kernel)

    for got, wanted in zip(passes(*values), convolution(*values, problem), strict=True):
        assert got.dtype == np.complex64 and np.iscomplexobj(wanted)
        assert relative_error(got, wanted) < 2e-6
