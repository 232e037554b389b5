"""The options of `cnnlab.testing`, and what they name."""

import importlib
import inspect
from typing import Any

import pytest

_OPTIONS = {
    "layer": "a layer of your own, module.name, to be tested",
    "data": "a data set of your own, module.name, to be tested",
    "algorithm": "a convolution algorithm of your own, module.name, to be tested",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--layer`, `--data`, `--algorithm`, `--shape`."""
    group = parser.getgroup("cnnlab", "tests of your own parts: pytest --pyargs cnnlab.testing")
    for name, about in _OPTIONS.items():
        group.addoption(f"--{name}", action="append", default=[], metavar="NAME", help=about)
    about = "what an example of the layers' input is like (9,7,4)"
    group.addoption("--shape", default="9,7,4", metavar="H,W,C", help=about)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Of each test of this package one for each thing that is named."""
    if str(getattr(metafunc.module, "__name__", "")).startswith("cnnlab.testing."):
        for name in _OPTIONS:
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, metafunc.config.getoption(f"--{name}"), indirect=True)


def named(name: str) -> Any:
    """What is at a dotted name.

    **Raises:** `pytest.UsageError`: nothing.
    """
    module, _, last = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), last)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"{name}: expected module.name, of what can be imported") from error


def made(thing: Any, name: str) -> Any:
    """What a class or a function makes without arguments but a key.

    **Raises:** `pytest.UsageError`: it needs others.
    """
    import jax.random as jr

    parameters = inspect.signature(thing).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]
    if set(needed) - {"key"}:
        raise pytest.UsageError(
            f"{name}: it needs {', '.join(needed)}; name a function without arguments that makes it"
        )
    return thing(**{"key": jr.key(0)} if "key" in [p.name for p in parameters] else {})
