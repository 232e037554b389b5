"""Random convolutions of every kind an algorithm serves, small enough to compute many of them."""

import numpy as np

from cnnlab.ops import REGISTRY, Algorithm, Padding, Problem, describe

# Largest spatial size, kernel size, stride and dilation, by rank.
_LARGEST = {1: (40, 9, 4, 4), 2: (14, 5, 3, 3), 3: (7, 3, 2, 2)}
# A sequence that overlap-add cuts into several blocks, and a kernel worth it.
_LONG, _LONG_KERNEL = 400, 40


def random_problem(name: str, rng: np.random.Generator) -> Problem:
    """A convolution in float32 that the algorithm `name` serves: rank, sizes, stride, dilation,
    groups (one, a few, depthwise), padding of every kind, even kernels, kernels longer than the
    input, any batch from 1 to 5.

    **Raises:** `KeyError`: no such algorithm. `ValueError`: it can't be had on this machine.
    """
    algorithm = REGISTRY[name]
    if (reason := algorithm.unavailable()) is not None:
        raise ValueError(f"{name}: {reason}")
    while True:
        problem = _draw(algorithm, rng)
        if problem is not None and algorithm.refusal(problem) is None:
            return problem


def _draw(algorithm: Algorithm, rng: np.random.Generator) -> Problem | None:
    """One that the algorithm may not serve, or None where the window does not fit."""
    domain = algorithm.domain
    rank = int(rng.choice([1, 1, 2, 2, 3]))
    size, kernel, stride, dilation = _LARGEST[rank]
    if domain.long and rank == 1 and rng.random() < 0.3:
        size, kernel = _LONG, _LONG_KERNEL
    some = lambda largest: tuple(int(n) for n in rng.integers(1, largest + 1, rank))
    often_one = lambda largest: some(largest) if rng.random() < 0.5 else (1,) * rank
    spatial, kernel_size = some(size), some(kernel)
    stride, dilation = often_one(stride), often_one(dilation)
    if domain.kernel_size is not None:
        kernel_size = (domain.kernel_size,) * rank
    if not domain.stepped:
        stride, dilation = 1, 1
    groups, group_in, group_out = _channels(rng) if domain.grouped else (1, *_pair(rng, 6))
    group_in, group_out = domain.lanes * group_in, domain.lanes * group_out
    try:
        return describe(
            (int(rng.integers(1, 6)), *spatial, groups * group_in),
            (*kernel_size, group_in, groups * group_out),
            stride=stride,
            padding=_padding(kernel_size, rng),
            dilation=dilation,
            groups=groups,
        )
    except ValueError:
        return None


def _pair(rng: np.random.Generator, largest: int) -> tuple[int, int]:
    first, second = rng.integers(1, largest + 1, 2)
    return int(first), int(second)


def _channels(rng: np.random.Generator) -> tuple[int, int, int]:
    """Groups, and the channels in and out of each: dense, grouped or depthwise, equally often."""
    match int(rng.integers(3)):
        case 0:
            return (1, *_pair(rng, 6))
        case 1:
            return (int(rng.integers(2, 5)), *_pair(rng, 3))
        case _:
            return int(rng.integers(2, 7)), 1, int(rng.choice([1, 1, 2]))


def _padding(kernel_size: tuple[int, ...], rng: np.random.Generator) -> Padding:
    """One of the kinds that `conv` takes, no wider than the kernel or a little more."""
    kinds = ["SAME", "VALID", "int", "pairs", *(["CAUSAL"] if len(kernel_size) == 1 else [])]
    kind = str(rng.choice(kinds))
    if kind == "int":
        return int(rng.integers(0, max(kernel_size) + 2))
    if kind == "pairs":
        return tuple(tuple(int(p) for p in rng.integers(0, k + 2, 2)) for k in kernel_size)
    return kind
