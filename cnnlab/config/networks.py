"""From a config's conv, norm, backbone and head to a network: itself, or tried out as shapes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray
from omegaconf import DictConfig

from cnnlab.config.instantiate import instantiate
from cnnlab.config.messages import one_line
from cnnlab.errors import ConfigError
from cnnlab.machine import memory
from cnnlab.models import Classifier

Network = tuple[Classifier, eqx.nn.State]


def build_model(
    cfg: DictConfig,
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    vocabulary: int | None = None,
    key: PRNGKeyArray,
) -> Network:
    """The classifier of a config, with random weights, and its state.

    **Arguments:** `input_shape`, `(*spatial, c)` of one example; `(length,)` where examples are
    tokens, of which there are `vocabulary`.

    **Raises:** `ConfigError`: its parts do not fit together, or it can't fit into memory.
    """
    # Compiled as one program: hundreds of small kernels would take longer to dispatch.
    make = eqx.nn.make_with_state(_maker(cfg, input_shape, num_classes, vocabulary))
    try:
        return eqx.filter_jit(make)(key)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise ConfigError(f"backbone: too large for the memory here: {one_line(error)}") from error


def check_model(
    cfg: DictConfig,
    input_shape: tuple[int, ...],
    num_classes: int,
    positions: tuple[int, ...] = (),
    vocabulary: int | None = None,
) -> tuple[Classifier, eqx.nn.State]:
    """Make the classifier and run it on two examples, as shapes only, which are given back.

    **Arguments:** as `build_model` takes them; `positions`, at each of which there have to be
    scores, if not for the whole example (`Dataset.positions`).

    **Raises:** `ConfigError`: its parts do not fit together, or it can't fit into memory.
    """
    make = eqx.nn.make_with_state(_maker(cfg, input_shape, num_classes, vocabulary))
    model, state = eqx.filter_eval_shape(make, jr.key(0))
    arrays = [leaf for leaf in jax.tree.leaves(model) if hasattr(leaf, "dtype")]
    size = sum(array.size * array.dtype.itemsize for array in arrays)
    if size > memory():
        raise ConfigError(
            f"backbone: expected a network that fits into {memory() / 2**30:.0f} GiB of memory, "
            f"got {sum(array.size for array in arrays):,} parameters"
        )
    found = _try_model(model, state, jnp.float32 if vocabulary is None else jnp.int32)
    if found[1:-1] != positions:
        where = lambda spatial: f"at {list(spatial)} positions" if spatial else "of whole examples"
        hint = (
            "a backbone that keeps the size and head=conv head.pool=none" if positions else "a pool"
        )
        raise ConfigError(
            f"head: expected scores {where(positions)}, as the labels are, got them "
            f"{where(found[1:-1])}; {hint} would give them"
        )
    return model, state


def _try_model(model: Classifier, state: eqx.nn.State, dtype: DTypeLike) -> tuple[int, ...]:
    """Run a classifier of shapes on two examples of shapes: the shape of the scores.

    **Raises:** `ConfigError`: a layer can't take what it gets.
    """
    inputs = jax.ShapeDtypeStruct((2, *model.in_shape), dtype)
    try:
        run = lambda m, s, x: m(x, s, key=jr.key(0))
        return eqx.filter_eval_shape(run, model, state, inputs)[0].shape
    except ConfigError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"backbone: inputs of shape {model.in_shape}: {reason}") from error


def _maker(
    cfg: DictConfig, input_shape: tuple[int, ...], num_classes: int, vocabulary: int | None
) -> Callable[[PRNGKeyArray], Classifier]:
    conv = instantiate(cfg.conv, key="conv")
    norm = None if cfg.norm is None else instantiate(cfg.norm, key="norm")
    tokens: dict[str, Any] = {} if vocabulary is None else {"vocabulary": vocabulary}

    def make(key: PRNGKeyArray) -> Classifier:
        backbone_key, head_key = jr.split(key)
        backbone = instantiate(
            cfg.backbone,
            key="backbone",
            in_shape=input_shape,
            optional={"conv": conv, "norm": norm, "key": backbone_key},
            **tokens,
        )
        head = instantiate(
            cfg.head,
            key="head",
            in_shape=backbone.out_shape,
            num_classes=num_classes,
            optional={"key": head_key},
        )
        return Classifier(backbone, head)

    return make
