"""The arrays of a training state by name: what a checkpoint holds, put back only where all fits."""

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from cnnlab.errors import CnnlabError
from cnnlab.models import named_arrays, with_arrays
from cnnlab.train.state import TrainState

Arrays = dict[str, np.ndarray]
_Model = TypeVar("_Model", bound=eqx.Module)


class CheckpointError(CnnlabError):
    """A checkpoint can't be read or does not fit; the message names the file."""


def state_arrays(state: TrainState) -> Arrays:
    """Every array of a state by a name that says where it belongs.

    `model.<layer path>`, `average.<layer path>`, `optimizer.<path>`, `step`, `key`.
    """
    arrays = {f"model.{k}": v for k, v in named_arrays(state.model, state.model_state).items()}
    if state.average is not None:
        model, model_state = state.averaged()
        arrays |= {f"average.{k}": v for k, v in named_arrays(model, model_state).items()}
    for path, leaf in _optimizer_leaves(state):
        arrays[path] = leaf
    arrays |= {"step": state.step, "key": jr.key_data(state.key)}
    return {name: np.asarray(value) for name, value in jax.device_get(dict(arrays)).items()}


def _optimizer_leaves(state: TrainState) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(state.opt_state)
    return [
        (f"optimizer.{jax.tree_util.keystr(path, simple=True, separator='.')}", leaf)
        for path, leaf in leaves
    ]


def with_state_arrays(state: TrainState, arrays: Arrays) -> TrainState:
    """The state with its arrays replaced by those of the same names.

    **Raises:** `CheckpointError` when a name is missing or not known, a shape or dtype differs, or
    a weight is not finite.
    """
    _check_fit(state_arrays(state), arrays)
    _check_finite({k: v for k, v in arrays.items() if k.startswith(("model.", "average."))})
    model, model_state = with_arrays(state.model, state.model_state, _part(arrays, "model."))
    average = None
    if state.average is not None:
        averaged = with_arrays(*state.averaged(), _part(arrays, "average."))
        average = (eqx.filter(averaged[0], eqx.is_inexact_array), averaged[1])
    leaves = [jnp.asarray(arrays[name]) for name, _ in _optimizer_leaves(state)]
    opt_state = jax.tree.unflatten(jax.tree.structure(state.opt_state), leaves)
    return TrainState(
        model=model,
        model_state=model_state,
        opt_state=opt_state,
        average=average,
        step=jnp.asarray(arrays["step"]),
        key=jr.wrap_key_data(jnp.asarray(arrays["key"])),
    )


def with_model_arrays(
    model: _Model, model_state: eqx.nn.State, arrays: Arrays
) -> tuple[_Model, eqx.nn.State]:
    """The model, with every array of it and of its state, replaced by those of the same names.

    **Raises:** `CheckpointError` as `with_state_arrays`.
    """
    _check_fit(named_arrays(model, model_state), arrays)
    _check_finite(arrays)
    return with_arrays(model, model_state, arrays)


def evaluated_arrays(arrays: Arrays) -> Arrays:
    """A checkpoint's model (the average where there is one), by the model's own names."""
    prefix = "average." if any(name.startswith("average.") for name in arrays) else "model."
    return _part(arrays, prefix)


def packed(arrays: Mapping[str, Any]) -> bytes:
    """Arrays by name as bytes, for another process of the same program."""
    from safetensors.numpy import save  # here, as training itself does without it

    own = {
        name: np.asarray(value, order="C") for name, value in jax.device_get(dict(arrays)).items()
    }
    return save(own)


def unpacked(content: bytes) -> Arrays:
    """The arrays that `packed` was given."""
    from safetensors.numpy import load

    return load(content)


def arrays_digest(arrays: Arrays) -> str:
    """16 hex digits that stand for arrays, their names and their shapes."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(arrays.items()):
        digest.update(f"{name}{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _part(arrays: Arrays, prefix: str) -> Arrays:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _check_fit(expected: Mapping[str, Any], arrays: Arrays) -> None:
    problems = [f"{name} is missing" for name in expected.keys() - arrays.keys()]
    problems += [f"{name} is not part of it" for name in arrays.keys() - expected.keys()]
    problems += [
        f"{name} is {arrays[name].dtype}{list(arrays[name].shape)}, "
        f"expected {value.dtype}{list(value.shape)}"
        for name, value in expected.items()
        if name in arrays and (arrays[name].shape, arrays[name].dtype) != (value.shape, value.dtype)
    ]
    if problems:
        raise CheckpointError(f"does not fit this config: {sorted(problems)[0]}")


def _check_finite(arrays: Arrays) -> None:
    for name, value in arrays.items():
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise CheckpointError(f"holds weights that are not finite numbers, in {name}")
