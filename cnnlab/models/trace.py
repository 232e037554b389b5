"""Which layers run, on which shapes, and how far back each output looks; nothing is computed."""

import dataclasses
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu

from cnnlab import nn

ReceptiveField = tuple[int, ...] | Literal["all", "unknown"]


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of one layer that has no layers inside.

    - `path`: name of the layer in the model, such as `backbone.stages[0].layers[0]`.
    - `layer`: the layer itself.
    - `in_shape`, `out_shape`: without batch axes.
    - `receptive_field`: how many input positions along each spatial axis one output depends on
      (A 4.1); `"all"` once the spatial axes are gone, `"unknown"` after a transposed convolution.
    - `step`: how many input positions lie between neighbouring outputs, per spatial axis.
    """

    path: str
    layer: Any
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    receptive_field: ReceptiveField
    step: tuple[int, ...]


def trace(
    model: Any, in_shape: tuple[int, ...], state: eqx.nn.State | None = None
) -> tuple[LayerCall, ...]:
    """Follows one input through a model and records every layer that it passes, in order.

    The model runs in inference mode under `eqx.filter_eval_shape`, so this costs no arithmetic
    and takes abstract models. The receptive field takes the layers as a chain. It grows by
    `(kernel_size - 1) * dilation * step` at a windowed layer, and borders do not clip it.
    A normalisation counts as pointwise: what its statistics see is left out.

    **Arguments:**

    - `model`: any layer or model of `cnnlab.nn` or `cnnlab.models`.
    - `in_shape`: shape of one input, `(*spatial, c)`.
    - `state`: the model's state. Without it, a layer with running statistics is taken to keep
      the shape of its input, as normalisations do.
    """
    leaves = jtu.tree_leaves_with_path(model, is_leaf=_is_layer)
    layers = {_name(path): leaf for path, leaf in leaves if _is_layer(leaf)}
    log = _Log(layers, len(in_shape) - 1)
    if state is None:
        indices = [i for i in jtu.tree_leaves(model, is_leaf=_is_index) if _is_index(i)]
        # Only a model that did not go through `make_with_state` still holds its first state.
        state = eqx.nn.State(model if all(jtu.tree_leaves(i) for i in indices) else ())

    def run(model: Any, state: eqx.nn.State, x: Any) -> Any:
        def watch(path, leaf):
            return _Watched(leaf, _name(path), log) if _is_layer(leaf) else leaf

        model = eqx.nn.inference_mode(model)
        watched = jtu.tree_map_with_path(watch, model, is_leaf=_is_layer)
        if _is_stateful(watched):
            return watched(x, state, key=jr.key(0))[0]
        return watched(x, key=jr.key(0))

    # A batch of one, because dropout's masks are drawn per example of a leading axis.
    x = jax.ShapeDtypeStruct((1, *in_shape), jnp.float32)
    eqx.filter_eval_shape(run, model, state, x)
    return tuple(log.calls)


class _Log:
    """Calls so far, and the receptive field at this point of the chain."""

    def __init__(self, layers: dict[str, Any], num_spatial_dims: int):
        # The layers as they were given: those that run hold tracers, which must not get out.
        self.layers = layers
        self.calls: list[LayerCall] = []
        self.field: ReceptiveField = (1,) * num_spatial_dims if num_spatial_dims else "all"
        self.step = (1,) * num_spatial_dims

    def add(self, path: str, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        layer = self.layers[path]
        if len(out_shape) == 1:
            self.field, self.step = "all", ()
        elif isinstance(layer, nn.ConvTranspose):
            # Its outputs lie between the inputs, and neighbours see different numbers of them.
            self.field, self.step = "unknown", ()
        elif isinstance(self.field, tuple) and hasattr(layer, "kernel_size"):
            window = zip(layer.kernel_size, layer.dilation, self.step, self.field, strict=True)
            self.field = tuple(r + (k - 1) * d * step for k, d, step, r in window)
            self.step = tuple(a * b for a, b in zip(self.step, layer.stride, strict=True))
        self.calls.append(LayerCall(path, layer, in_shape, out_shape, self.field, self.step))


class _Watched(eqx.nn.StatefulLayer):
    """Stands in for a layer, stateful or not, and writes down its calls."""

    layer: Any
    path: str = eqx.field(static=True)
    log: _Log = eqx.field(static=True)

    def is_stateful(self) -> bool:
        return _is_stateful(self.layer)

    def __call__(self, x, *args, **kwargs):
        if not self.is_stateful():
            y = result = self.layer(x, *args, **kwargs)
        else:
            state = args[0] if args else kwargs["state"]
            known = state.tree_flatten()[1]
            indices = [i for i in jtu.tree_leaves(self.layer, is_leaf=_is_index) if _is_index(i)]
            if all(i.marker in known for i in indices):
                result = self.layer(x, *args, **kwargs)
            else:
                result = (x, state)
            y = result[0]
        self.log.add(self.path, x.shape[1:], y.shape[1:])
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("layer", "path", "log"):
            raise AttributeError(name)
        return getattr(self.layer, name)


def _name(path: tuple[Any, ...]) -> str:
    return jtu.keystr(path).removeprefix(".")


def _is_stateful(layer: Any) -> bool:
    return isinstance(layer, eqx.nn.StatefulLayer) and layer.is_stateful()


def _is_index(node: Any) -> bool:
    return isinstance(node, eqx.nn.StateIndex)


def _is_callable_module(node: Any) -> bool:
    return isinstance(node, eqx.Module) and callable(node)


def _is_layer(node: Any) -> bool:
    """Whether `node` is a layer with no layer inside it."""
    if not _is_callable_module(node):
        return False
    inside = jtu.tree_leaves(node, is_leaf=lambda n: n is not node and _is_callable_module(n))
    return not any(_is_callable_module(leaf) for leaf in inside)
