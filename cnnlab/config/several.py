"""Objects of the groups of which several can be chosen (`allowed.SEVERAL`)."""

from typing import Any

from omegaconf import DictConfig

from cnnlab.config.instantiate import instantiate
from cnnlab.config.messages import config_errors
from cnnlab.data import Dataset
from cnnlab.data.augment import Augmentation
from cnnlab.data.perturb import Perturbation
from cnnlab.errors import ConfigError


def named(cfg: DictConfig, group: str) -> list[Any]:
    """The objects of a group of which several can be chosen, in their order."""
    return [instantiate(node, key=f"{group}.{name}") for name, node in cfg[group].items()]


def augmentations_of(
    cfg: DictConfig, data: Dataset
) -> tuple[list[Augmentation], list[Perturbation]]:
    """What changes the batches of training, and what changes each picture as it is read.

    **Raises:** `ConfigError`: what can't be applied to these data.
    """
    if data.vocabulary is not None:
        for key, given in (("augment", list(cfg.augment)), ("tta", cfg.get("tta", "none"))):
            if given not in ([], "none"):
                raise ConfigError(
                    f"{key}: expected none, as the examples of {data.name} are tokens, got {given}"
                )
    of_batches, of_pictures = [], []
    for name, one in zip(cfg.augment, named(cfg, "augment"), strict=True):
        if isinstance(one, Perturbation):
            with config_errors(f"augment.{name}: "):
                one.check(data.input_shape, data.high)
            if data.train.placement == "device":
                raise ConfigError(
                    f"data.placement: expected auto or stream, where augment.{name} is applied, got"
                    " device"
                )
            of_pictures.append(one)
        else:
            with config_errors(f"augment.{name}."):
                one.check(data.spatial)
            of_batches.append(one)
    return of_batches, of_pictures
