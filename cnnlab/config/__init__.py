"""Configs to objects: composing and checking with Hydra, and the one place that instantiates.

Importing this package does not import jax: `--help` and `--cfg job` answer at once.
"""

import importlib
from typing import Any

from cnnlab.config.cli import cli
from cnnlab.config.compose import compose
from cnnlab.config.hashing import config_hash
from cnnlab.config.instantiate import instantiate
from cnnlab.config.targets import check_targets
from cnnlab.errors import CnnlabError, ConfigError

__all__ = [
    "CnnlabError",
    "ConfigError",
    "build",
    "check_targets",
    "cli",
    "compose",
    "config_hash",
    "instantiate",
]


def __getattr__(name: str) -> Any:
    if name == "build":  # imports jax
        value = importlib.import_module("cnnlab.config.build").build
        globals()[name] = value  # rebinds the name, which the import has bound to the submodule
        return value
    raise AttributeError(f"module 'cnnlab.config' has no attribute {name!r}")
