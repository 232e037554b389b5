"""A tiny entry point: `python task.py CONFIGS [flags] [overrides]`. Fails as its `seed` says."""

import json
import sys

from omegaconf import DictConfig, OmegaConf

from cnnlab.config import cli
from cnnlab.errors import CnnlabError, ConfigError

CONFIGS = sys.argv.pop(1) if __name__ == "__main__" else None


def run(cfg: DictConfig) -> None:
    """Prints its config.

    More about it.
    """
    print(json.dumps(OmegaConf.to_container(cfg, resolve=True)))
    failures = {
        91: CnnlabError("the disk is full"),
        92: ConfigError("backbone.plan[3]: expected a channel count > 0 or 'M', got -64"),
        93: RuntimeError("a bug"),
        94: KeyboardInterrupt(),
    }
    if cfg.seed in failures:
        raise failures[cfg.seed]


if __name__ == "__main__":
    cli("train", config_dir=CONFIGS)(run)()
    if "jax" in sys.modules:
        print("jax was imported", file=sys.stderr)
