"""Products of Fourier transforms, whole and in blocks."""

import numpy as np
import pytest
from algorithm_checks import are_exact
from primitive_cases import PLAIN, changed, needs_engine, predicted

from cnnlab.ops import describe
from cnnlab.ops.algorithms.fft import FFT
from cnnlab.ops.algorithms.native import NATIVE
from cnnlab.ops.algorithms.overlap_add import FFT_OVERLAP_ADD


@pytest.mark.parametrize("algorithm", [FFT, FFT_OVERLAP_ADD], ids=lambda a: a.name)
def test_costs(algorithm):
    # Transforms of 10 x 10 (9 are needed), 831 products each: 2 * 4, 4 * 6 and 2 * 6 of them;
    # three products for each of 51 complex numbers, 2 * 6 * 4 times.
    assert algorithm.multiply_adds(PLAIN) == 44 * 831 + 2 * 6 * 4 * 3 * 51
    assert algorithm.extra_memory(PLAIN) == 44 * 100 * 4


def test_costs_of_blocks():
    # 1000 entries in 18 blocks of 56, which 9 taps make 64 long: 37 transforms of 480 products.
    long = describe((1, 1000, 1), (9, 1, 1))
    assert FFT_OVERLAP_ADD.multiply_adds(long) == 37 * 480 + 18 * 3 * 33
    assert FFT_OVERLAP_ADD.extra_memory(long) == 37 * 64 * 4


def test_refusal():
    says = "Fourier transforms need floating-point numbers, not int32"
    assert FFT.refusal(changed(PLAIN, dtype=np.dtype(np.int32))) == says


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param(
            [((2, 500, 2), (9, 2, 3), {}), ((1, 301, 3), (30, 1, 3), {"groups": 3})], id="1d"
        ),
        pytest.param([((1, 70, 3), (40, 3, 1), {"padding": "CAUSAL", "dilation": 2})], id="reach"),
        pytest.param([((1, 400, 1), (5, 1, 2), {"stride": 3, "dilation": 4})], id="strided"),
        pytest.param([((1, 40, 35, 1), (3, 5, 1, 2), {"padding": "VALID"})], id="2d"),
        pytest.param([((1, 20, 18, 17, 1), (3, 2, 1, 1, 1), {"padding": 1})], id="3d"),
        pytest.param([((2, 5, 1), (12, 1, 2), {"padding": ((11, 9),)})], id="long kernel"),
    ],
)
def test_blocks_overlap_and_add(shapes):
    problems = [describe(x, k, **options) for x, k, options in shapes]
    are_exact(FFT_OVERLAP_ADD.name, problems)


def test_is_preferred_for_large_kernels():
    large = describe((16, 32, 32, 32), (31, 31, 1, 32), groups=32)
    assert predicted(large) == [FFT.name] * 3
    long = describe((1, 65536, 16), (512, 1, 16), groups=16)
    assert predicted(long) == [FFT_OVERLAP_ADD.name] * 3


@needs_engine
def test_compiled_loops_are_preferred_for_longer_still_and_compiled_transforms_then():
    large = describe((16, 32, 32, 32), (11, 11, 1, 32), groups=32)
    assert predicted(large, engine=True) == [NATIVE.name] * 3
    long = describe((1, 65536, 4), (1024, 1, 4), groups=4)
    assert predicted(long, engine=True) == ["native_fft"] * 3


def test_pieces_of_a_causal_sequence_take_longer_than_one_transform():
    causal, same = (
        describe((1, 8192, 8), (1024, 1, 8), groups=8, padding=p) for p in ("CAUSAL", "SAME")
    )
    time = lambda problem, which: FFT.nanoseconds(problem, which, "cpu")
    assert time(causal, "forward") == time(causal, "input_gradient") > 2 * time(same, "forward")
    assert time(causal, "kernel_gradient") < 1.5 * time(same, "kernel_gradient")
