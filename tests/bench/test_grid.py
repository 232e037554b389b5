"""The benchmark's grid has every kind of convolution that it promises."""

import pytest

from cnnlab import ops
from cnnlab.bench.grid import CHANNELS, GRID, KERNEL_SIZES, title

PROBLEMS = list(GRID.values())


def dense(p):
    return p.groups == 1


def depthwise(p):
    return p.groups == p.in_channels == p.out_channels > 1


KINDS = {
    **{f"dense {k}x{k}": lambda p, k=k: dense(p) and p.kernel_size == (k, k) for k in (1, 3, 5, 7)},
    **{
        f"depthwise {k}x{k}": lambda p, k=k: depthwise(p) and p.kernel_size == (k, k)
        for k in (3, 7, 11, 31)
    },
    **{f"{g} groups": lambda p, g=g: p.groups == g < p.in_channels for g in (2, 8, 32)},
    **{f"{n} pixels": lambda p, n=n: p.spatial == (n, n) for n in (8, 16, 32, 64)},
    **{f"{r}-D": lambda p, r=r: p.rank == r for r in (1, 2, 3)},
    **{f"batch {n}": lambda p, n=n: p.batch == n for n in (1, 64)},
    "3 channels": lambda p: p.in_channels == 3,
    "512 channels": lambda p: p.in_channels == p.out_channels == 512,
    "dense with stride": lambda p: dense(p) and set(p.stride) == {2},
    "1x1 with stride": lambda p: p.taps == 1 and set(p.stride) == {2},
    "depthwise with stride": lambda p: depthwise(p) and set(p.stride) == {2},
    "dilated": lambda p: p.rank == 2 and set(p.dilation) == {2},
    "1-D of 1 K": lambda p: p.spatial == (1024,),
    "1-D of 64 K": lambda p: p.spatial == (65536,),
    "1-D of kernel 3": lambda p: p.kernel_size == (3,),
    "causal": lambda p: p.rank == 1 and p.padding[0][0] > 0 == p.padding[0][1],
    "1-D, symmetric": lambda p: p.rank == 1 and p.padding[0][0] == p.padding[0][1] > 0,
    "kernel as long as the input": lambda p: p.kernel_size == p.spatial,
}

# Named in the issue; batch 64 unless said.
PROMISED = [
    "3x3 3->32, 32x32",
    "3x3 64->64, 32x32",
    "3x3 128->128, 16x16",
    "3x3 256->256, 8x8",
    "1x1 128->256, 16x16",
    "3x3 64->128, 32x32, stride 2",
    "depthwise 3x3 128, 16x16",
    "depthwise 7x7 128, 16x16",
    "8 groups 3x3 128, 16x16",
    "depthwise 31x31 32, 32x32, batch 16",
    "3x3 512->512, 8x8",
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_there(kind):
    assert any(map(KINDS[kind], PROBLEMS))


@pytest.mark.parametrize("name", PROMISED)
def test_promised(name):
    assert name in GRID


def test_enough_and_none_twice():
    assert 30 <= len(GRID) <= 40
    assert len(set(PROBLEMS)) == len(PROBLEMS)


@pytest.mark.parametrize("name", GRID)
def test_names_say_what_is_computed(name):
    assert title(GRID[name]) == name


def every():
    sweeps = (*KERNEL_SIZES.values(), CHANNELS)
    return [*PROBLEMS, *(problem for sweep in sweeps for problem in sweep.values())]


@pytest.mark.parametrize("problem", every(), ids=title)
def test_it_is_a_convolution_of_a_size_that_can_be_timed(problem):
    geometry = {n: getattr(problem, n) for n in ("stride", "padding", "dilation", "groups")}
    names = ops.algorithms(problem.x_shape, problem.kernel_shape, **geometry)
    assert ops.REFERENCE in names
    assert problem.multiply_adds <= 10**10


@pytest.mark.parametrize("name", KERNEL_SIZES)
def test_only_the_kernel_differs_along_the_sweep_of_kernels(name):
    for size, problem in KERNEL_SIZES[name].items():
        assert set(problem.kernel_size) == {size}
    assert len({(p.x_shape, p.y_shape, p.groups) for p in KERNEL_SIZES[name].values()}) == 1


def test_only_the_channels_differ_along_the_sweep_of_channels():
    for channels, problem in CHANNELS.items():
        assert problem.in_channels == problem.out_channels == channels
    shapes = {(p.batch, p.spatial, p.kernel_size, p.groups) for p in CHANNELS.values()}
    assert len(shapes) == 1
