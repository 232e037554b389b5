"""A sweep's jobs tried out before the first one starts: all that `build` does, but with shapes.

What only fits together or does not (groups and channels, a plan and the size of the images, devices
and a batch, fractions and splits, a schedule and the length of the run) is refused here, and not
when the job's turn comes.
"""

import contextlib
from collections.abc import Sequence

import equinox as eqx
import jax.random as jr
from omegaconf import DictConfig, OmegaConf

from cnnlab.config.hashing import config_hash
from cnnlab.config.instantiate import instantiate
from cnnlab.config.networks import check_model
from cnnlab.config.objects import assemble, prologue
from cnnlab.config.runs import with_backbone
from cnnlab.data import Dataset
from cnnlab.errors import ConfigError
from cnnlab.models import Classifier

_NETWORK = ("backbone", "conv", "norm", "head")


class Rehearsal:
    """`rehearsal(cfg)` raises `ConfigError` for what `build` (where the config has a `run`,
    `build_finetune`) would refuse. Each distinct data set is loaded once, each network tried once.

    **Arguments:** `configs`, all of the sweep's.
    """

    def __init__(self, configs: Sequence[DictConfig]) -> None:
        self._data: dict[str, Dataset] = {}
        self._networks: dict[str, tuple[Classifier, eqx.nn.State]] = {}
        # A host's devices are made once for the process: as many as the largest job takes. What is
        # wrong with that one is said in its turn.
        largest = max(configs, key=lambda cfg: cfg.runtime.get("devices") or 0)
        with contextlib.suppress(ConfigError):
            instantiate(largest.runtime, key="runtime")

    def __call__(self, cfg: DictConfig) -> None:
        if "run" in cfg:
            cfg = with_backbone(cfg)
        name = config_hash(cfg.data)
        if name not in self._data:
            self._data[name] = instantiate(cfg.data, key="data")
        runtime, data = prologue(cfg, self._data[name])
        network = config_hash(OmegaConf.masked_copy(cfg, [*_NETWORK, "data"]))
        if network not in self._networks:
            found = check_model(cfg, data.input_shape, data.num_classes)
            self._networks[network] = found
        assemble(cfg, runtime, data, *self._networks[network], key=jr.key(cfg.seed))
