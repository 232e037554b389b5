"""Every array of a model by a readable name: the form in which weights are stored and loaded."""

import math
from collections.abc import Mapping
from typing import TypeAlias, TypeGuard, TypeVar, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, PyTree

from cnnlab.arguments import having

Named: TypeAlias = Array | np.ndarray | jax.ShapeDtypeStruct
"""An array of a model, or what stands for it in a model of shapes."""

_Model = TypeVar("_Model")


def named_arrays(model: PyTree, state: eqx.nn.State | None = None) -> dict[str, Named]:
    """The arrays of a model and of its state, by name, in the order of the tree.

    A name is the path from the model to the array: `backbone.stages[0].layers[0].weight`. A
    running statistic is named after the layer that owns it, not after its place in the state:
    `backbone.stages[0].layers[1].running_mean`. Names do not depend on shapes, so they stay when
    a model gets wider.

    **Arguments:**

    - `model`: any tree of modules. Leaves may be `jax.ShapeDtypeStruct` (a template made by
      `eqx.filter_eval_shape`).
    - `state`: its `eqx.nn.State`; without it, the parameters only.

    **Raises:** `ValueError` if the state has no entry for one of the model's layers.
    """
    if state is not None:
        having("state", state, "an eqx.nn.State or None", "get", "set", "tree_flatten")
    statistics = None if state is None else _entries(state)
    arrays: dict[str, Named] = {}
    for path, leaf in jtu.tree_leaves_with_path(model, is_leaf=is_state_index):
        if not is_state_index(leaf):
            if is_array(leaf):
                arrays[path_name(path)] = leaf
        elif statistics is not None:
            if leaf.marker not in statistics:
                raise ValueError(
                    f"state: no entry for {path_name(path)}; was it made for this model?"
                )
            for subpath, value in jtu.tree_leaves_with_path(statistics[leaf.marker]):
                arrays[path_name((*path, *subpath))] = value
    return arrays


def count_parameters(model: PyTree) -> int:
    """How many numbers of `model` train: the sizes of its floating-point arrays."""
    # Running statistics aren't named without their state.
    arrays = named_arrays(model).values()
    return sum(math.prod(a.shape) for a in arrays if jnp.issubdtype(a.dtype, jnp.inexact))


def described(model: PyTree) -> str:
    """Its class and size: `Classifier, 5,130 parameters`."""
    return f"{type(model).__name__}, {count_parameters(model):,} parameters"


@overload
def with_arrays(
    model: _Model, state: eqx.nn.State, arrays: Mapping[str, Named]
) -> tuple[_Model, eqx.nn.State]: ...


@overload
def with_arrays(model: _Model, state: None, arrays: Mapping[str, Named]) -> tuple[_Model, None]: ...


def with_arrays(
    model: _Model, state: eqx.nn.State | None, arrays: Mapping[str, Named]
) -> tuple[_Model, eqx.nn.State | None]:
    """The same model and state with the named arrays put in; the inverse of `named_arrays`.

    **Arguments:**

    - `model`, `state`: as in `named_arrays`; abstract ones are filled.
    - `arrays`: new arrays by name (JAX or NumPy), stored in the dtype of the array they replace.
      Arrays that are not named keep their values.

    **Returns:** the new model and the new state. The state that was passed in stays valid.

    **Raises:** `ValueError` for a name the model does not have and for a wrong shape.
    """
    having("arrays", arrays, "arrays by name", "items")
    current = named_arrays(model, state)
    for name, value in arrays.items():
        if name not in current:
            raise ValueError(f"arrays[{name!r}]: the model has no array of this name")
        if tuple(value.shape) != tuple(current[name].shape):
            raise ValueError(
                f"arrays[{name!r}]: expected shape {tuple(current[name].shape)}, "
                f"got {tuple(value.shape)}"
            )

    def put(path, leaf):
        name = path_name(path)
        return _cast(arrays[name], leaf) if name in arrays else leaf

    # A StateIndex holds no array once the state is out of the model, but its markers say where
    # in the state the values of the layer at this path are.
    entries = {} if state is None else _entries(state)

    def put_statistics(path, leaf):
        if not is_state_index(leaf):
            return put(path, leaf)
        if leaf.marker in entries:
            entries[leaf.marker] = jtu.tree_map_with_path(
                lambda subpath, value: put((*path, *subpath), value), entries[leaf.marker]
            )
        return leaf

    model = jtu.tree_map_with_path(put_statistics, model, is_leaf=is_state_index)
    if state is not None:
        state = eqx.nn.State.tree_unflatten(tuple(entries), tuple(entries.values()))
    return model, state


def _entries(state: eqx.nn.State) -> dict[object, PyTree]:
    # `state.get` and `state.set` refuse abstract values, and `set` invalidates the old state.
    values, markers = state.tree_flatten()
    return dict(zip(markers, values, strict=True))


def path_name(path: tuple[object, ...]) -> str:
    """A path of a tree (`jax.tree_util`) as it is written in Python: `stages[0].layers[1]`."""
    return jtu.keystr(path).removeprefix(".")


def is_state_index(node: object) -> TypeGuard[eqx.nn.StateIndex]:
    """Whether a node of a model is what keeps a layer's place in the state."""
    return isinstance(node, eqx.nn.StateIndex)


def is_array(leaf: object) -> TypeGuard[Named]:
    """Whether a leaf is an array, or the shape and dtype of one."""
    return isinstance(leaf, jax.ShapeDtypeStruct) or eqx.is_array(leaf)


def _cast(value: Named, like: Named) -> Array | jax.ShapeDtypeStruct:
    # An array that fits stays the same object, on the devices where it is.
    if isinstance(value, jax.Array | jax.ShapeDtypeStruct) and value.dtype == like.dtype:
        return value
    return jnp.asarray(value, dtype=like.dtype)
