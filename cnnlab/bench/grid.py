"""The convolutions that the benchmark measures, as data."""

from collections.abc import Iterable, Sequence

from cnnlab.ops import Padding, Problem, describe


def title(problem: Problem) -> str:
    """A name that says all that differs: `8 groups 3x3 128, 16x16`, `1-D k=3 64->64, 1024`."""
    c_in, c_out, groups = problem.in_channels, problem.out_channels, problem.groups
    kind = "" if groups == 1 else "depthwise " if groups == c_in else f"{groups} groups "
    kernel, size = _sizes(problem.kernel_size), _sizes(problem.spatial)
    channels = str(c_in) if groups > 1 and c_in == c_out else f"{c_in}->{c_out}"
    name = f"{kind}{kernel} {channels}, {size}"
    if problem.rank == 1:
        name = f"1-D {kind}k={kernel} {channels}, {size}"
    if problem.rank == 1 and problem.padding[0][0] > 0 == problem.padding[0][1]:
        name += ", causal"
    for what, values in (("stride", problem.stride), ("dilation", problem.dilation)):
        if set(values) != {1}:
            name += f", {what} {values[0] if len(set(values)) == 1 else _sizes(values)}"
    return name if problem.batch == 64 else f"{name}, batch {problem.batch}"


def _sizes(values: Sequence[int]) -> str:
    return "x".join(map(str, values))


def _conv(
    kernel: int,
    in_channels: int,
    out_channels: int,
    size: int,
    *,
    rank: int = 2,
    batch: int = 64,
    groups: int = 1,
    stride: int = 1,
    dilation: int = 1,
    padding: Padding = "SAME",
) -> Problem:
    return describe(
        (batch, *(size,) * rank, in_channels),
        (*(kernel,) * rank, in_channels // groups, out_channels),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


def _depthwise(kernel: int, channels: int, size: int, **geometry) -> Problem:
    return _conv(kernel, channels, channels, size, groups=channels, **geometry)


def _named(problems: Iterable[Problem]) -> dict[str, Problem]:
    return {title(p): p for p in problems}


GRID: dict[str, Problem] = _named(
    (
        # Dense, from the image to 512 channels.
        _conv(3, 3, 32, 32),
        _conv(3, 16, 16, 64),
        _conv(3, 64, 64, 32),
        _conv(3, 128, 128, 16),
        _conv(3, 256, 256, 8),
        _conv(3, 512, 512, 8),
        _conv(5, 32, 32, 32),
        _conv(7, 32, 32, 16),
        _conv(1, 128, 256, 16),
        _conv(1, 32, 32, 64),
        # Stride and dilation.
        _conv(3, 64, 128, 32, stride=2),
        _conv(1, 64, 128, 32, stride=2),
        _conv(7, 3, 32, 64, stride=2),
        _conv(3, 64, 64, 32, dilation=2),
        # One image.
        _conv(3, 3, 32, 64, batch=1),
        _conv(3, 64, 64, 32, batch=1),
        _conv(3, 256, 256, 8, batch=1),
        _conv(1, 128, 256, 16, batch=1),
        # Groups.
        _conv(3, 128, 128, 16, groups=2),
        _conv(3, 128, 128, 16, groups=8),
        _conv(3, 128, 128, 16, groups=32, batch=8),
        # Depthwise.
        _depthwise(3, 128, 16),
        _depthwise(7, 128, 16),
        _depthwise(11, 64, 16, batch=16),
        _depthwise(31, 32, 32, batch=16),
        _depthwise(3, 128, 32, stride=2, batch=16),
        _depthwise(3, 64, 64, batch=1),
        _depthwise(7, 128, 16, batch=1),
        # 1-D, up to kernels as long as the input.
        _conv(3, 64, 64, 1024, rank=1),
        _conv(9, 32, 32, 4096, rank=1, batch=8),
        _conv(3, 32, 32, 16384, rank=1, batch=1, dilation=8, padding="CAUSAL"),
        _depthwise(31, 64, 4096, rank=1, batch=8),
        _depthwise(3, 16, 65536, rank=1, batch=1),
        _depthwise(128, 32, 16384, rank=1, batch=1, padding="CAUSAL"),
        _depthwise(1024, 32, 1024, rank=1, batch=2, padding="CAUSAL"),
        _depthwise(1024, 4, 65536, rank=1, batch=1),
        _depthwise(4096, 4, 4096, rank=1, batch=1, padding="CAUSAL"),
        # 3-D.
        _conv(3, 16, 32, 16, rank=3, batch=8),
        _conv(3, 32, 32, 8, rank=3, batch=1),
    )
)

# Time against kernel size: depthwise, where a direct sum is cheapest beside a Fourier transform.
KERNEL_SIZES: dict[str, dict[int, Problem]] = {
    "2-D": {k: _depthwise(k, 32, 32, batch=4) for k in (1, 3, 5, 7, 11, 15, 21, 31)},
    "1-D": {
        k: _depthwise(k, 8, 8192, rank=1, batch=1, padding="CAUSAL")
        for k in (3, 7, 15, 31, 64, 128, 256, 512, 1024, 2048, 4096)
    },
}

# Time against channels: 3x3, dense.
CHANNELS: dict[int, Problem] = {
    c: _conv(3, c, c, 16, batch=16) for c in (4, 8, 16, 32, 64, 128, 256)
}
