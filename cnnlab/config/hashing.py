"""A short name for a configuration: equal configs give equal hashes, in any process."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from omegaconf import DictConfig, OmegaConf

from cnnlab.config.targets import TARGET


def config_hash(
    cfg: DictConfig | Mapping[str, object], exclude: Sequence[str] = (), length: int = 10
) -> str:
    """The first `length` hex digits of the SHA-256 of the config, resolved, as canonical JSON.

    The dotted keys in `exclude` (with all below them) do not count; those that the config lacks
    are passed over. The order of keys does not count either, but for a mapping of several nodes
    with a `_target_` (a pipeline, as `augment` is), where it is the order of application. Numbers
    are equal when their values are: 1 and 1.0.
    """
    plain = OmegaConf.to_container(cfg, resolve=True) if isinstance(cfg, DictConfig) else cfg
    canonical = _canonical(plain, "", frozenset(exclude))
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _canonical(value: object, prefix: str, exclude: frozenset[str]) -> object:
    if isinstance(value, Mapping):
        kept = {
            str(k): _canonical(v, f"{prefix}{k}.", exclude)
            for k, v in value.items()
            if f"{prefix}{k}" not in exclude
        }
        pipeline = all(isinstance(v, dict) and TARGET in v for v in kept.values())
        return list(kept.items()) if pipeline and len(kept) > 1 else kept
    if isinstance(value, list | tuple):
        return [_canonical(v, f"{prefix}{i}.", exclude) for i, v in enumerate(value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
