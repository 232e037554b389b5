"""What is the user's own in a run: given to `build`, or of modules that the config names."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from omegaconf import DictConfig

from cnnlab.code import Unknowable, files_digest, top_level
from cnnlab.config.messages import one_line, show
from cnnlab.config.targets import TARGET
from cnnlab.config.tree import leaves, plain
from cnnlab.config.trust import granted
from cnnlab.content import digest
from cnnlab.data import ArraySplit, Dataset, from_arrays
from cnnlab.errors import ConfigError
from cnnlab.train.fit import with_state
from cnnlab.train.place import contents
from cnnlab.train.step import scores


class Own(NamedTuple):
    """What `build` was given in place of what the config describes; None of what it was not."""

    model: Any = None
    data: Any = None
    loss: Any = None
    optimizer: Any = None
    metrics: Any = None

    def parts(self) -> dict[str, Any]:
        """What was given, by its argument."""
        return {name: part for name, part in self._asdict().items() if part is not None}

    def contents(self, name: str | None) -> dict[str, str]:
        """What stands for the content of each part; a `name` for what can't be read.

        **Raises:** `ConfigError` that begins with the argument: of another kind, or with content
        that can't be read, and there is no `name`.
        """
        if name is not None and not (isinstance(name, str) and name):
            raise ConfigError(f"name: expected a text, got {show(name)}")
        self._check()
        parts = self.parts()
        if isinstance(self.data, Dataset):
            parts["data"] = _readable(self.data)
        return contents(parts, name)

    def _check(self) -> None:
        model, loss, rule = self.model, self.loss, self.optimizer
        pair = isinstance(model, tuple) and len(model) == 2 and isinstance(model[1], eqx.nn.State)
        if not (model is None or pair or (isinstance(model, eqx.Module) and callable(model))):
            what = show(type(model).__name__)
            raise ConfigError(f"model: expected an Equinox module, or it and its state, got {what}")
        if not (loss is None or callable(loss)):
            raise ConfigError(f"loss: expected a function of logits and targets, got {show(loss)}")
        named = isinstance(self.metrics, Mapping) and bool(self.metrics)
        if self.metrics is not None and not (named and all(map(callable, self.metrics.values()))):
            raise ConfigError(
                f"metrics: expected functions of answers and labels by name, got "
                f"{show(self.metrics)}"
            )
        if not (rule is None or isinstance(rule, optax.GradientTransformation)):
            raise ConfigError(f"optimizer: expected one of optax, got {show(type(rule).__name__)}")

    def examples(self) -> Dataset | None:
        """The given data set; of arrays, one of copies of them.

        **Raises:** `ConfigError`: something else, or what `data.from_arrays` refuses.
        """
        if self.data is None or isinstance(self.data, Dataset):
            return self.data
        splits = self.data if isinstance(self.data, Mapping) else {"train": self.data}
        if not {"train"} <= splits.keys() <= {"train", "val", "test"}:
            raise ConfigError(f"data: expected train, and maybe val and test, got {list(splits)}")
        try:
            copies = {name: (np.array(x), np.array(y)) for name, (x, y) in splits.items()}
            return from_arrays(**copies)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"data: expected images and their labels: {error}") from error

    def network(self, data: Dataset) -> Any:
        """The given model and its state, tried on shapes of a data set.

        **Raises:** `ConfigError`: it can't take the examples, or does not score the classes.
        """
        shape = (2, *data.input_shape)
        try:
            model, state = self.model if isinstance(self.model, tuple) else with_state(self.model)
            dtype = jnp.float32 if data.vocabulary is None else jnp.int32
            image = jax.ShapeDtypeStruct(shape, dtype)
            run = lambda m, s, x: scores(m, x, s, key=jr.key(0))
            logits, _ = eqx.filter_eval_shape(run, model, state, image)
            found = logits.shape
        except Exception as error:  # whatever is raised by code that is not ours
            raise ConfigError(f"model: inputs of shape {shape}: {one_line(error)}") from error
        expected = (2, *data.positions, data.num_classes)
        if found != expected:
            raise ConfigError(
                f"model: expected scores of shape {expected} of inputs {shape}, got {found}"
            )
        return model, state


NOTHING_OWN = Own()


def contents_of_own(cfg: DictConfig, data: Dataset) -> dict[str, str]:
    """What stands for the code of the trusted modules that a config names, and for the examples
    where these make them.

    **Raises:** `ConfigError`: examples whose content can't be read.
    """
    trust, values = granted(cfg), plain(cfg, resolve=True)
    targets = [
        (key, top_level(value)) for key, value in leaves(values)
        if key.rpartition(".")[2] == TARGET and top_level(value) in trust
    ]  # fmt: skip
    if not targets:
        return {}
    found = {"code": digest({top: files_digest(top) for top in sorted({t for _, t in targets})})}
    if not data.fingerprint and any(key == f"data.{TARGET}" for key, _ in targets):
        found |= contents({"data": _readable(data)})
    return found


def _readable(data: Dataset) -> object:
    """A data set, unless it is what can't be known: examples that code of the user's reads from
    elsewhere when they are asked for."""
    if data.fingerprint or all(
        isinstance(s, ArraySplit) for s in (data.train, data.val, data.test)
    ):
        return data
    return Unknowable("its examples are read when asked for; Dataset(fingerprint=...) tells them")
