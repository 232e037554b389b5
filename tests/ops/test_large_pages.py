"""The memory that a program works in: large pages, all of it, once the engine writes into it."""

import platform
import re
import resource
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from cnnlab import ops
from cnnlab.ops.algorithms.native import NATIVE
from cnnlab.ops.native import ENGINE

ADVICE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PAGES = 2**27 // 4096  # of what XLA's own code writes


def unavailable():
    if sys.platform != "linux" or not ADVICE.exists() or "[never]" in ADVICE.read_text():
        return "no transparent huge pages"
    if tuple(map(int, re.findall(r"\d+", platform.release())[:2])) < (6, 11):
        return "Linux 6.11 or newer, which tells where memory ends"
    return ENGINE.refusal()


def faults(convolution):
    """Of a call of a program that makes a result of 8 MB, then 128 MB by XLA's own code."""

    def made(x, kernel):
        y = jax.lax.optimization_barrier(convolution(x, kernel))
        squares = jnp.outer(y[0, :64, 0, :].ravel(), y[0, :, :64, 0].ravel())
        return jax.lax.optimization_barrier(squares).sum(0)

    x, kernel = jnp.ones((1, 256, 256, 32)), jnp.ones((1, 1, 32, 32))
    program = jax.jit(made).lower(x, kernel).compile()
    assert program.memory_analysis().temp_size_in_bytes > 4096 * PAGES
    program(x, kernel).block_until_ready()
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        program(x, kernel).block_until_ready()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start) / 4


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_all_that_a_program_works_in_is_mapped_by_large_pages():
    by = lambda algorithm: lambda x, kernel: ops.conv(x, kernel, algorithm=algorithm)
    assert faults(by(ops.REFERENCE)) > PAGES / 2
    assert faults(by(NATIVE.name)) < PAGES / 10
