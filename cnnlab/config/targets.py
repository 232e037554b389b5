"""Which `_target_` a config may name, by its text alone and then by the object it leads to."""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cnnlab.config.messages import nearest, show
from cnnlab.errors import ConfigError

TARGET = "_target_"
PARTIAL = "_partial_"
ROOTS = ("cnnlab", "equinox", "optax", "jax.nn")
# Of the rooms that touch files, only these modules may be named: a run directory's config may come
# from elsewhere, and must not reach what writes or removes a file at a path that it names.
_TRAIN = ("metrics", "optim", "parallel", "schedules")
_DATA = ("augment", "catalogue", "embedded", "idx_sets")
_OPEN = tuple(
    [f"cnnlab.train.{name}" for name in _TRAIN] + [f"cnnlab.data.{name}" for name in _DATA]
)
_CLOSED = ("cnnlab.train.", "cnnlab.data.", "cnnlab.config.", "equinox._serialisation.")
# Hydra instantiates its own launchers, sweepers and callbacks.
_HYDRA_ROOTS = (*ROOTS, "hydra", "hydra_plugins")

_PATH = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)
_HYDRA_PATH = re.compile(r"[A-Za-z]\w*(\.\w+)+", re.ASCII)


def check_targets(cfg: DictConfig | Mapping[str, Any]) -> None:
    """Refuse, by their text, all `_target_`s that lie outside `ROOTS`. Imports nothing.

    Raises ConfigError that names the key. Hydra's own node `hydra` may also name Hydra's plugins.
    """
    plain = OmegaConf.to_container(cfg) if isinstance(cfg, DictConfig) else cfg
    for key, target in _targets(plain, ""):
        check_target_text(target, key, hydra=key.startswith("hydra."))


def check_target_text(target: Any, key: str, *, hydra: bool = False) -> None:
    """Refuse a `_target_` whose text does not name a public object under the allowed roots.

    **Arguments:** `key`, the dotted key of the node that has the target; `hydra`, whether it is
    Hydra's own. Raises ConfigError.
    """
    pattern, roots = (_HYDRA_PATH, _HYDRA_ROOTS) if hydra else (_PATH, ROOTS)
    if not (isinstance(target, str) and pattern.fullmatch(target) and _under(target, roots)):
        raise _refused(target, key)


def resolve_target(target: Any, key: str) -> Callable[..., Any]:
    """The class or function that a `_target_` names.

    The path is walked through modules only, each of them under its own name, so that neither a
    module that another one happens to import (`cnnlab.data.os.system`) nor an attribute of an
    object is within reach; the object found must be defined under the allowed roots too. No module
    outside them is imported by name. Raises ConfigError.
    """
    check_target_text(target, key)
    parts = target.split(".")
    place = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], start=2):
        if not isinstance(place, ModuleType):
            raise _refused(target, key)
        found = _attribute(place, part)
        if found is None:
            raise ConfigError(f"{key}.{TARGET}: {_absent(place, part)}, in {show(target)}")
        if isinstance(found, ModuleType) and found.__name__ != ".".join(parts[:i]):
            raise _refused(target, key)
        place = found
    home = getattr(place, "__module__", None)
    kind = inspect.isclass(place) or (callable(place) and hasattr(place, "__name__"))
    # `jax.nn` lists functions that are defined elsewhere in jax (`jax.nn.tanh`).
    allowed = ("jax",) if target.startswith("jax.nn.") else ROOTS
    if not (kind and isinstance(home, str) and _under(home + ".", allowed)):
        raise _refused(target, key)
    if home not in _OPEN and f"{home}.".startswith(_CLOSED):
        raise _refused(target, key)
    return place


def _targets(node: Any, prefix: str) -> list[tuple[str, Any]]:
    if isinstance(node, Mapping):
        own = [(prefix.rstrip("."), node[TARGET])] if TARGET in node else []
        return own + [t for k, v in node.items() for t in _targets(v, f"{prefix}{k}.")]
    if isinstance(node, list | tuple):
        return [t for i, v in enumerate(node) for t in _targets(v, f"{prefix}{i}.")]
    return []


def _under(path: str, roots: tuple[str, ...]) -> bool:
    return any(path.startswith(root + ".") for root in roots)


def _attribute(module: ModuleType, name: str) -> Any:
    """`module.name`, imported where it is a submodule of an allowed package, else None."""
    found = getattr(module, name, None)
    if found is not None or not hasattr(module, "__path__"):
        return found
    path = f"{module.__name__}.{name}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:  # the submodule exists, and something that it imports does not
            raise
        return None


def _absent(module: ModuleType, name: str) -> str:
    close = nearest(name, [n for n in dir(module) if not n.startswith("_")])
    return f"{module.__name__} has no {name!r}" + (f"; did you mean {close}?" if close else "")


def _refused(target: Any, key: str) -> ConfigError:
    where = f"{key}.{TARGET}" if key else TARGET
    return ConfigError(
        f"{where}: {show(target)} is refused; allowed are the public classes and functions of "
        + ", ".join(ROOTS)
    )
