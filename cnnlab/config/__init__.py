"""Configs to objects: composing and checking with Hydra, and the one place that instantiates.

Importing this package does not import jax: `--help` and `--cfg job` answer at once.
"""

import importlib
from typing import Any

from omegaconf import DictConfig

from cnnlab.config.cli import cli
from cnnlab.config.compose import check_config, compose
from cnnlab.config.declared import declare
from cnnlab.config.hashing import config_hash
from cnnlab.config.instantiate import instantiate
from cnnlab.config.kinds import read_value
from cnnlab.config.launch import launched
from cnnlab.config.messages import config_errors
from cnnlab.config.tree import plain, to_yaml
from cnnlab.config.trust import granted
from cnnlab.config.writing import file_to_write, folder_to_write
from cnnlab.errors import CnnlabError, ConfigError

# These import jax, so they load at first use.
_LAZY = {
    "augmentations_of": "several",
    "build": "objects",
    "Rehearsal": "rehearsal",
    "build_model": "networks",
    "build_finetune": "runs",
    "load_config": "runs",
    "load_predictor": "runs",
    "load_run": "runs",
    "outcomes_in": "job",
    "read_settings": "saved",
}

__all__ = [
    "CnnlabError",
    "ConfigError",
    "DictConfig",
    "Rehearsal",
    "augmentations_of",
    "build",
    "build_finetune",
    "build_model",
    "check_config",
    "cli",
    "compose",
    "config_errors",
    "config_hash",
    "declare",
    "file_to_write",
    "folder_to_write",
    "granted",
    "instantiate",
    "launched",
    "load_config",
    "load_predictor",
    "load_run",
    "outcomes_in",
    "plain",
    "read_settings",
    "read_value",
    "to_yaml",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"cnnlab.config.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'cnnlab.config' has no attribute {name!r}")
