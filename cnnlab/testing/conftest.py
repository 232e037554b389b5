"""What the tests of this package are given, by the options' names."""

from typing import Any

import equinox as eqx
import pytest

from cnnlab.data import Dataset
from cnnlab.ops import Algorithm
from cnnlab.testing.plugin import made, named


@pytest.fixture
def layer(request: pytest.FixtureRequest) -> Any:
    """A layer without its state, and the state."""
    thing = named(request.param)
    make = lambda: thing if isinstance(thing, eqx.Module) else made(thing, request.param)
    return eqx.nn.make_with_state(make)()


@pytest.fixture
def shape(request: pytest.FixtureRequest) -> tuple[int, ...]:
    """One example of the layers' input."""
    return tuple(int(n) for n in request.config.getoption("--shape").split(","))


@pytest.fixture
def data(request: pytest.FixtureRequest) -> Any:
    """What makes the data set."""
    thing = named(request.param)
    return lambda: thing if isinstance(thing, Dataset) else made(thing, request.param)


@pytest.fixture
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    """The algorithm."""
    return named(request.param)
