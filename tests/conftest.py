"""Two CPU devices for every test, hypothesis without deadlines, and one source of random keys."""

import os

# Set before jax starts its backend: the parallel runtimes are tested on two CPU devices.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import jax.random as jr
import pytest

hypothesis.settings.register_profile("default", max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.load_profile("default")


@pytest.fixture
def getkey():
    """A function that gives a fresh key at every call, the same sequence in every run."""
    root = jr.key(5678)
    count = 0

    def _getkey():
        nonlocal count
        count += 1
        return jr.fold_in(root, count)

    return _getkey
