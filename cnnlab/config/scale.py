"""`scale=full`: an experiment's longer version, as its config's own `full` section gives it."""

from collections.abc import Iterable

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from cnnlab.config.messages import nearest_key, show
from cnnlab.config.tree import has, plain, walk
from cnnlab.errors import ConfigError

SCALES = ("fast", "full")


def settle_scale(cfg: DictConfig, values: Iterable[Override]) -> None:
    """Where the config has a `scale`, put the settings of `full` in place if it is asked for.

    Done before the user's other values are applied, which so stay ahead of the scale's. The
    section itself is removed: what is left is what runs.

    **Arguments:** `values`, the user's overrides.

    **Raises:** `ConfigError`: another scale, or a key of `full` that the config does not have.
    """
    if "scale" not in cfg or "full" not in cfg:
        return
    scale = cfg.scale
    for override in values:
        if override.key_or_group == "scale":
            scale = override.value()
    if scale not in SCALES:
        raise ConfigError(f"scale: expected one of {', '.join(SCALES)}, got {show(scale)}")
    changes = plain(cfg)["full"] or {}
    with open_dict(cfg):
        del cfg["full"]
    known = plain(cfg)
    for key, value in changes.items():
        if not has(known, key):
            close = nearest_key(key, [k for k, _ in walk(known)])
            raise ConfigError(
                f"full.{key}: no such key" + (f"; did you mean {close}?" if close else "")
            )
        if scale == "full":
            OmegaConf.update(cfg, key, value, merge=False)
