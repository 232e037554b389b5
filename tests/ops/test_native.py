"""The native engine: results, bounds and threads.

That it is the convolution, in every transformation, is tested with the other algorithms.
"""

import functools
import math
import shutil
import subprocess
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_checks import check_engine
from primitive_cases import arrays, changed, needs_engine

from cnnlab import ops
from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES, REGISTRY, describe
from cnnlab.ops.algorithms import native
from cnnlab.ops.choice import automatic
from cnnlab.ops.native import ENGINE, Code, build

DRIVER = [*Path(__file__).parent.glob("native/*.cc")]


CASES = {
    "odd channels": ((3, 7, 6, 5), (3, 2, 5, 7), {"stride": (2, 1), "padding": ((2, 0), (0, 1))}),
    "dilated": ((2, 9, 9, 16), (3, 3, 16, 24), {"dilation": 2}),
    "thin groups": ((2, 6, 5, 12), (3, 3, 2, 18), {"groups": 6}),
    "depthwise": ((2, 8, 8, 24), (5, 5, 1, 24), {"groups": 24, "stride": 2}),
    "depthwise, two filters a channel": ((2, 8, 8, 6), (3, 3, 1, 12), {"groups": 6}),
    "more padding than kernel": ((1, 4, 4, 8), (2, 2, 8, 8), {"padding": 5}),
    "gaps": ((2, 11, 11, 8), (2, 2, 8, 16), {"stride": 4, "padding": "VALID"}),
    "causal": ((2, 20, 8), (4, 8, 8), {"dilation": 3, "padding": "CAUSAL"}),
    "causal, by rows": ((2, 48, 8), (3, 8, 16), {"dilation": 16, "padding": [(32, 16)]}),
    "1x1": ((3, 5, 5, 9), (1, 1, 9, 33), {}),
    "1x1, strided": ((6, 7, 6, 24), (1, 1, 24, 40), {"stride": 2, "padding": "VALID"}),
    "points of a sequence": ((40, 23, 8), (1, 8, 5), {"stride": 3, "padding": "VALID"}),
    "points of a volume": ((3, 5, 6, 7, 3), (1, 1, 1, 3, 8), {"stride": (1, 2, 4)}),
    "output channels in two blocks": ((1, 5, 6, 8), (3, 2, 8, 75), {"padding": 1}),
    "groups of several blocks": ((1, 4, 5, 32), (2, 3, 16, 80), {"groups": 2}),
    "volume": ((2, 4, 5, 3, 4), (3, 2, 1, 4, 8), {"groups": 1}),
    "volume, more channels than a round": ((2, 3, 4, 3, 70), (2, 1, 2, 70, 33), {"padding": 1}),
    "volume less deep than its kernel": ((2, 2, 8, 7, 16), (3, 3, 3, 16, 24), {"padding": 1}),
    "volume as deep as its kernel, strided": (
        (2, 5, 5, 6, 32),
        (5, 1, 3, 32, 32),
        {"padding": ((3, 3), (0, 0), (1, 1)), "stride": (2, 1, 1)},
    ),
    "volume of one channel, strided": ((2, 9, 6, 7, 1), (3, 3, 3, 1, 24), {"stride": 2}),
    "volume of odd lengths": (
        (2, 5, 7, 6, 3),
        (2, 3, 4, 3, 8),
        {"stride": (2, 2, 4), "padding": 1},
    ),
    "volume to one channel, dilated": ((1, 7, 9, 8, 20), (3, 2, 3, 20, 1), {"dilation": (1, 3, 2)}),
    "volume in groups": ((1, 4, 3, 150, 12), (2, 3, 3, 4, 6), {"groups": 3, "padding": "VALID"}),
    "sequence, several tiles": ((2, 300, 5), (4, 5, 11), {"stride": 2, "padding": [(2, 1)]}),
    "four groups as two": ((2, 6, 7, 16), (3, 2, 4, 32), {"groups": 4, "stride": (1, 2)}),
    "two channels a group": ((2, 5, 6, 16), (2, 3, 2, 8), {"groups": 8, "padding": 1}),
    "depthwise, many taps": (
        (2, 9, 6, 16),
        (7, 9, 1, 16),
        {"groups": 16, "padding": [(2, 5), (9, 1)]},
    ),
    "depthwise, many taps, half a vector": ((1, 5, 40, 24), (3, 16, 1, 24), {"groups": 24}),
    "depthwise, dilated": ((1, 11, 12, 8), (5, 8, 1, 8), {"groups": 8, "dilation": (2, 3)}),
    "depthwise, two taps far apart": (
        (2, 40, 8),
        (2, 1, 8),
        {"groups": 8, "dilation": 37, "padding": "CAUSAL"},
    ),
    "depthwise, a tap beyond the image": (
        (1, 5, 6, 16),
        (3, 3, 1, 16),
        {"groups": 16, "dilation": 6, "padding": "SAME"},
    ),
    "depthwise, several tiles": ((1, 1300, 8), (64, 1, 8), {"groups": 8, "padding": "CAUSAL"}),
    "depthwise, tiles of rows": ((1, 90, 70, 16), (7, 6, 1, 16), {"groups": 16}),
    "sequences, depthwise": ((2, 40, 16), (31, 1, 16), {"groups": 16, "padding": [(15, 14)]}),
    "larger than a cache": ((2, 128, 128, 32), (3, 3, 32, 8), {"padding": ((1, 0), (2, 1))}),
    "groups larger than a cache": ((4, 64, 64, 64), (3, 3, 16, 64), {"groups": 4}),
    "few points": ((4, 4, 4, 65), (1, 1, 65, 40), {}),
    "few positions": ((1, 3, 2, 70), (3, 3, 70, 43), {"padding": 1}),
    "few positions, skipped": (
        (2, 3, 2, 8),
        (2, 2, 8, 32),
        {"stride": 2, "dilation": (1, 2), "padding": ((1, 3), (2, 0))},
    ),
    "few positions of a sequence": ((2, 7, 260), (2, 260, 36), {"padding": "CAUSAL"}),
    "few positions of a volume": ((1, 2, 2, 3, 12), (2, 1, 3, 12, 34), {"padding": "SAME"}),
}


@needs_engine
@pytest.mark.parametrize("case", ["four groups as two", "two channels a group"])
def test_groups_of_few_channels_run_on_compiled_code(case):
    x, kernel, geometry = CASES[case]
    problem = describe(x, kernel, **geometry)
    if not ENGINE.wide():  # for AVX-512 oneDNN has such code
        assert "gemm" in ENGINE.implementation(problem, "forward").name
    assert native.code(problem, "forward") >= Code.COMPILED


@needs_engine
@pytest.mark.parametrize(
    ("x", "kernel", "dilation", "expected"),
    [
        ((2, 9, 9, 16), (7, 7, 1, 16), 1, [True, True, True]),
        ((2, 9, 9, 16), (3, 5, 1, 16), 1, [False, False, True]),
        ((2, 9, 9, 16), (3, 3, 1, 16), 1, [False, False, False]),
        ((2, 9, 9, 16), (3, 3, 1, 16), 2, [True, True, True]),
        ((2, 90, 16), (2, 1, 16), 32, [True, True, True]),
        ((2, 9, 9, 12), (7, 7, 1, 12), 1, [False, False, False]),
    ],
)
def test_depthwise_of_many_or_dilated_taps_runs_in_loops_of_our_own(x, kernel, dilation, expected):
    problem = describe(x, kernel, groups=x[-1], dilation=dilation, padding="SAME")
    codes = [ENGINE.implementation(problem, which).code for which in PASSES]
    assert [code == Code.OWN_DEPTHWISE for code in codes] == expected


@needs_engine
@pytest.mark.parametrize(
    "case", ["volume", "volume in groups", "dilated", "sequence, several tiles"]
)
def test_kernel_gradients_without_compiled_code_run_in_loops_of_our_own(case):
    x, kernel, geometry = CASES[case]
    found = ENGINE.implementation(describe(x, kernel, **geometry), "kernel_gradient")
    assert found.code == Code.COMPILED
    assert ENGINE.wide() or found.name == "bwd_w:cnnlab"


@needs_engine
def test_few_positions_run_where_the_kernel_lies():
    few = [describe(x, k, **geometry) for c, (x, k, geometry) in CASES.items() if "few" in c]
    names = {ENGINE.implementation(problem, which).name for problem in few for which in PASSES}
    assert names == {"few:cnnlab"}
    more = describe((65, 1, 1, 65), (1, 1, 65, 40))
    assert ENGINE.implementation(more, "forward").name != "few:cnnlab"


@needs_engine
def test_of_few_positions_an_example_has_the_same_bits_in_any_batch():
    problem = describe((4, 2, 2, 300), (3, 3, 300, 40), padding=1)
    x, kernel, _ = (jnp.asarray(v, jnp.float32) for v in arrays(problem))
    run = jax.jit(lambda x: ops.conv(x, kernel, padding=1, algorithm="native"))
    together = np.asarray(run(x))
    assert all(np.array_equal(run(x[i : i + n]), together[i : i + n]) for i, n in [(0, 1), (1, 3)])


@needs_engine
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.float16])
def test_volumes_run_on_compiled_code_in_every_type(dtype):
    problem = describe((1, 8, 9, 11, 1), (3, 3, 3, 1, 24), stride=2, dtype=dtype)
    assert [automatic(problem, which, "cpu") for which in PASSES] == ["native"] * 3


@needs_engine
def test_sequences_run_on_what_is_compiled_for_images():
    x, kernel, geometry = CASES["sequences, depthwise"]
    problem = describe(x, kernel, **geometry)
    assert all(ENGINE.implementation(problem, w).code >= Code.DEPTHWISE for w in PASSES)


@needs_engine
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_all_passes_beside_the_float64_loop(case, dtype):
    x, kernel, geometry = CASES[case]
    problem = describe(x, kernel, **geometry, dtype=dtype)
    # The longest sums, those of the kernel's gradient, lose as the root of their length.
    terms = problem.batch * math.prod(problem.out)
    limit = max(2e-6, 2**-24 * math.sqrt(terms)) if dtype == np.float32 else 4e-3
    check_engine(REGISTRY["native"], problem, limit)


@needs_engine
def test_minimal_filtering_of_more_channels_than_are_read_at_a_time():
    problem = describe((1, 4, 5, 264), (3, 3, 264, 24), padding=1)
    x, kernel, dy = arrays(problem)
    algorithm = REGISTRY["native_winograd"]
    expected = convolution(x, kernel, dy, problem)
    x, kernel, dy = (v.astype(np.float32) for v in (x, kernel, dy))
    limit = algorithm.tolerance(np.float32)
    for which, pair, value in zip(
        PASSES, ((x, kernel), (dy, kernel), (x, dy)), expected, strict=True
    ):
        for run in (
            functools.partial(algorithm.compute, which),
            algorithm.outputs_first(problem, which),
        ):
            assert relative_error(np.asarray(run(*pair, problem), np.float64), value) <= limit


@needs_engine
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dtype": np.dtype(float)}, "it computes in float32 and bfloat16, not float64"),
        ({"padding": ((0, -1), (0, 0))}, "it can't crop: padding ((0, -1), (0, 0))"),
        ({"spatial": (0, 4)}, "an array is empty"),
        ({"spatial": (2**31, 1)}, "an axis is longer than oneDNN can count"),
    ],
)
def test_refusals(changes, says):
    problem = describe((2, 4, 4, 3), (2, 2, 3, 4))
    assert REGISTRY["native"].refusal(problem) is None
    assert REGISTRY["native"].refusal(changed(problem, **changes)) == says


@needs_engine
def test_calls_from_several_threads():
    problem = describe((4, 9, 9, 16), (3, 3, 16, 16))
    x, kernel, dy = arrays(problem)
    expected = convolution(x, kernel, dy, problem)
    value = lambda x, k: jnp.vdot(ops.conv(x, k, algorithm="native"), dy)
    run = jax.jit(lambda x, k: (ops.conv(x, k, algorithm="native"), *jax.grad(value, (0, 1))(x, k)))
    errors = []

    def work():
        for _ in range(20):
            pairs = zip(run(x, kernel), expected, strict=True)
            errors.append(max(relative_error(np.asarray(y), e) for y, e in pairs))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 160 and max(errors) <= 2e-6


@needs_engine
@pytest.mark.parametrize("way", ["native", "native_winograd", "channels first"])
def test_sums_are_the_same_whatever_runs_beside(way):
    """A kernel's gradient is summed over threads: always as many, not as many as are free."""
    if way == "channels first":
        problem = describe((8, 1000, 32), (2, 32, 32), padding=((512, 0),), dilation=512)
        of = REGISTRY["native"].channels_first(problem, "kernel_gradient")
    else:
        problem = describe((32, 14, 14, 32), (3, 3, 32, 32), padding=1)
        of = functools.partial(REGISTRY[way].compute, "kernel_gradient")
    x, _, dy = (jnp.asarray(v, jnp.float32) for v in arrays(problem))
    if way == "channels first":
        x, dy = jnp.moveaxis(x, -1, 1), jnp.moveaxis(dy, -1, 1)
    run = jax.jit(lambda x, dy: of(x, dy, problem))
    alone, same = np.asarray(run(x, dy)), []

    def work():
        same.extend(np.array_equal(run(x, dy), alone) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(same) == 80 and all(same)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """The library with a plain loop beside it, as a program of its own."""
    onednn, (compiler, _) = build.find_onednn(), build.find_compiler()
    folder = tmp_path_factory.mktemp("driver")
    program, library, flags = folder / "driver", folder / "library.so", build.FLAGS
    library.write_bytes(build.build())
    code = [library]
    if ENGINE.wide():  # valgrind knows no AVX-512: all but what XLA calls is compiled without
        flags = [flag for flag in flags if flag != "-march=native"]
        code = [file for file in build.SOURCES.glob("*.cc") if file.stem != "handlers"]
    folders = [f"-I{onednn.include}", f"-I{build.SOURCES}"]
    folders += [f"-Wl,--disable-new-dtags,-rpath,{folder}:{onednn.library.parent}"]
    command = [compiler, *flags, *folders, *DRIVER, *code, onednn.library, "-o", program]
    subprocess.run(command, check=True, timeout=300)
    return program


@needs_engine
def test_what_is_kept_is_bounded(driver):
    done = subprocess.run([str(driver), "bounded"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("512 of 512 plans kept, ")


@needs_engine
@pytest.mark.parametrize("checker", [None, "valgrind"])
def test_nothing_is_written_outside_the_result(driver, checker):
    if checker and shutil.which(checker) is None:
        pytest.skip("valgrind is not installed")
    # oneDNN's copies between layouts are too long a straight line for its translator.
    options = ["-q", "--error-exitcode=9", "--vex-guest-max-insns=20"]
    command = ["valgrind", *options] * bool(checker) + [str(driver)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "0 wrong of 172\n"
