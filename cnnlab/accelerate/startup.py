"""Accelerated from the start: as soon as jax is loaded, by whoever needs it.

Not before: jax reads `JAX_PLATFORMS` and the like as it is loaded, which a program may set first.
"""

import importlib.util
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from cnnlab.accelerate import accelerate

VARIABLE = "CNNLAB_ACCELERATE"


def from_environment() -> None:
    """Accelerate where `CNNLAB_ACCELERATE=1`.

    **Raises:** `ValueError`: it is neither 0 nor 1.
    """
    given = os.environ.get(VARIABLE) or "0"
    if given not in ("0", "1"):
        raise ValueError(f"{VARIABLE}: expected 0 or 1, got {given!r}")
    if given == "1":
        with_jax()


def with_jax(verbose: bool = False) -> None:
    """Accelerate now where jax is loaded, or else right after it."""
    if "jax" in sys.modules:
        accelerate(verbose=verbose)
    else:
        sys.meta_path.insert(0, _AfterJax(verbose))


class _AfterJax(MetaPathFinder):
    """Finds jax as the others do, and accelerates once it is loaded."""

    def __init__(self, verbose: bool):
        self._verbose = verbose

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname != "jax":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._verbose)
        return spec


class _Loader(Loader):
    def __init__(self, own: Loader, verbose: bool):
        self._own, self._verbose = own, verbose

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        accelerate(verbose=self._verbose)

    def __getattr__(self, name: str) -> Any:  # resources, source lines
        return getattr(self._own, name)
