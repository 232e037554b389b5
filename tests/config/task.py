"""A tiny entry point: `python task.py CONFIGS [flags] [overrides]`. Fails as its `seed` says."""

import faulthandler
import json
import os
import signal
import sys
import time

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
    if cfg.seed == 95:
        interrupted_in_a_callback()
    if cfg.seed == 96:
        interrupted_in_an_import()


def interrupted_in_a_callback() -> None:
    """Where Python drops what is raised."""

    class Thing:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    Thing()
    forever()


def forever() -> None:
    """Until an exception comes."""
    faulthandler.dump_traceback_later(60, exit=True)
    try:
        while True:
            pass
    finally:
        faulthandler.cancel_dump_traceback_later()


def interrupted_in_an_import() -> None:
    """As some packages do."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except BaseException as error:
        raise ImportError("could not be loaded") from error


if __name__ == "__main__":
    cli("train", config_dir=CONFIGS)(run)()
    if "jax" in sys.modules:
        print("jax was imported", file=sys.stderr)
