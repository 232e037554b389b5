"""Where a run is: its directory is named by all that its result depends on."""

from pathlib import Path

from omegaconf import DictConfig

from cnnlab.config.hashing import config_hash
from cnnlab.config.tree import find, has, plain

# What a run's numbers do not depend on: the same run is found with other values of these.
UNHASHED = (
    *("name", "output", "seed", "force", "progress", "logger", "eval_batch_size", "profile"),
    *("data.placement", "data.workers", "data.data_dir", "data.source", "data.cache"),
    *("data.root", "data.file"),
    *(f"runtime.{key}" for key in ("processes", "process", "coordinator", "timeout", "launch")),
    *("runtime.shard_state", "augment.alternating_flip.seed"),
)
# Keys that have come since runs were made, with what those did: at that they do not count.
SINCE = {
    "loss": {"_target_": "cnnlab.train.losses.CrossEntropy", "class_weights": None},
    "metrics": None,
    "backbone.pool_padding": "SAME",
    "data.task": "classification",
    "data.label_separator": "|",
}
# Where weights are loaded from: they count themselves.
LOADED = ("run", "checkpoint")


def run_directory(cfg: DictConfig, **contents: str) -> Path:
    """Where a config's run is: the same for the same config, seed and contents.

    **Arguments:** `contents`, what stands for the content of what the run is made of beside its
    config: of the files that it reads, `data` (`Dataset.fingerprint`) and `weights`, whose places
    do not count; of what was given to `build`; of `code` that is not cnnlab's.
    """
    made_of = {name: content for name, content in contents.items() if content}
    values = plain(cfg, resolve=True)
    free = [*UNHASHED, *(LOADED if "weights" in made_of else ())]
    free += [key for key, value in SINCE.items() if has(values, key) and find(values, key) == value]
    hashed = config_hash({**values, **({"made_of": made_of} if made_of else {})}, free)
    return Path(cfg.output) / cfg.name / f"{hashed}-s{cfg.seed}"
