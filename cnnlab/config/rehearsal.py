"""A sweep's jobs tried out before the first one starts: all that `build` does, but with shapes.

What only fits together or does not (groups and channels, a plan and the size of the images, devices
and a batch, fractions and splits, a schedule and the length of the run) is refused here, and not
when the job's turn comes.
"""

import contextlib
from collections.abc import Sequence

import jax.random as jr
from jaxtyping import PRNGKeyArray
from omegaconf import DictConfig

from cnnlab.config import objects
from cnnlab.config.hashing import config_hash
from cnnlab.config.instantiate import instantiate
from cnnlab.config.networks import Network, check_model
from cnnlab.config.runs import build_finetune
from cnnlab.config.tree import plain
from cnnlab.data import Dataset
from cnnlab.errors import ConfigError
from cnnlab.train.experiment import Experiment
from cnnlab.train.parallel import Runtime

_NETWORK = ("backbone", "conv", "norm", "head", "data")


class Rehearsal:
    """`rehearsal(cfg)` is the experiment that `build` (where the config has a `run`,
    `build_finetune`) would make, its network of shapes; it raises the same errors. Each distinct
    data set is loaded once, each network tried once.

    **Arguments:** `configs`, all that train.
    """

    def __init__(self, configs: Sequence[DictConfig] = ()) -> None:
        self._data: dict[str, Dataset] = {}
        self._networks: dict[str, Network] = {}
        # A host's devices are made once for the process: as many as the largest job takes. What is
        # wrong with that one is said in its turn.
        devices = lambda cfg: cfg.runtime.get("devices") or 0
        if (largest := max(configs, key=devices, default=None)) is not None:
            with contextlib.suppress(ConfigError):
                instantiate(largest.runtime, key="runtime")

    def __call__(self, cfg: DictConfig) -> Experiment:
        if "run" in cfg:
            return build_finetune(cfg, parts=self)[0]
        runtime, data = self.runtime_and_data(cfg)
        network, key = self.initial_model(cfg, data)
        return objects.make_experiment(cfg, runtime, data, network, key=key)

    def runtime_and_data(self, cfg: DictConfig) -> tuple[Runtime, Dataset]:
        """`objects.runtime_and_data`, with what other jobs have loaded."""
        name = config_hash(plain(cfg, resolve=True)["data"])
        if name not in self._data:
            self._data[name] = instantiate(cfg.data, key="data")
        return objects.runtime_and_data(cfg, self._data[name])

    def initial_model(self, cfg: DictConfig, data: Dataset) -> tuple[Network, PRNGKeyArray]:
        """`objects.initial_model`, of shapes."""
        values = plain(cfg, resolve=True)
        name = config_hash({key: values[key] for key in _NETWORK})
        if name not in self._networks:
            self._networks[name] = check_model(
                cfg, data.input_shape, data.num_classes, data.positions, data.vocabulary
            )
        return self._networks[name], jr.key(cfg.seed)
