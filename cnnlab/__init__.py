"""cnnlab: one operation, many algorithms, every claim measured.

Submodules load on first use, so that `import cnnlab` and the command line's `--help` do not wait
for jax.
"""

import importlib
import os
import sys
from typing import Any

__version__ = "0.1.0"

_SUBMODULES = (
    *("accelerate", "analysis", "bench", "config", "data", "lab", "models", "nn", "ops", "train"),
)
_EXPORTS = {
    "accelerated": "cnnlab.accelerate",
    "build": "cnnlab.config",
    "compose": "cnnlab.config",
    "export": "cnnlab.models",
    "fit": "cnnlab.train",
    "summary": "cnnlab.analysis",
    "tune": "cnnlab.bench.tuning",
}

__all__ = [*_SUBMODULES, *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"cnnlab.{name}")
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'cnnlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "IPython" in sys.modules:
    importlib.import_module("cnnlab.notebook").one_line_errors()
if os.environ.get("CNNLAB_ACCELERATE"):
    importlib.import_module("cnnlab.accelerate.startup").from_environment()
