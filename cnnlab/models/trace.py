"""Which layers run, on which shapes, and how far back each output looks; nothing is computed."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, PyTree

from cnnlab import nn
from cnnlab.models import reach
from cnnlab.models.names import Named, is_state_index, path_name
from cnnlab.models.reach import Reach

# Of the values that are ours among those a program names.
_MARK = "cnnlab.trace "

ReceptiveField = tuple[int, ...] | Literal["all", "unknown"]


class Position(NamedTuple):
    """What an output position depends on, in all its channels: along each spatial axis of the input
    `size` positions from `offset + step * i` on for output position `i`, borders not clipped.

    `size` is `"all"` where every output depends on the whole input, and `"unknown"` where the
    program could not be followed; `step` and `offset` are `()` then.
    """

    size: ReceptiveField
    step: tuple[int, ...]
    offset: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of one layer that has no layers inside.

    - `path`: name of the layer in the model, such as `backbone.stages[0].layers[0]`.
    - `layer`: the layer itself.
    - `in_shape`, `out_shape`: without batch axes.
    - `receptive_field`: how many input positions along each spatial axis one output depends on
      (A 4.1), with all branches that lead there; `"all"` for the whole input, as behind a global
      pool, and `"unknown"` after what is not followed, such as a transposed convolution with a
      stride.
    - `step`: how many input positions lie between neighbouring outputs, per spatial axis.
    - `offset`: the first input position that output position 0 depends on, per spatial axis.
    """

    path: str
    layer: eqx.Module
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    receptive_field: ReceptiveField
    step: tuple[int, ...]
    offset: tuple[int, ...]


def trace(
    model: PyTree,
    in_shape: tuple[int, ...],
    state: eqx.nn.State | None = None,
    parts: Sequence[str] = (),
) -> tuple[LayerCall, ...]:
    """Follows one input through a model and records every layer that it passes, in order.

    The model, in inference mode, becomes a JAX program that is read and not run
    (`cnnlab.models.reach`), so this costs no arithmetic and takes abstract models; branches,
    residuals and layers of other libraries are followed. A window grows the receptive field by
    `(kernel_size - 1) * dilation * step`, and borders do not clip it. What the statistics of a
    normalisation see is left out, and so is what padding with anything but zeros sees.

    **Arguments:**

    - `model`: any layer or model of `cnnlab.nn` or `cnnlab.models`.
    - `in_shape`: shape of one input, `(*spatial, c)`; `(n,)` of tokens, where the model has an
      `nn.Embedding`.
    - `state`: the model's state. Without it, a layer with running statistics is taken to keep
      the shape of its input, as normalisations do.
    - `parts`: fields of the model that hold sequences of modules, such as `"stages"`; those are
      recorded too, each after what is inside.
    """
    log = _CallLog(model, parts)
    if state is None:
        indices = filter(is_state_index, jtu.tree_leaves(model, is_leaf=is_state_index))
        # Only a model that did not go through `make_with_state` still holds its first state.
        state = eqx.nn.State(model if all(jtu.tree_leaves(i) for i in indices) else ())

    def run(model: PyTree, state: eqx.nn.State, x: Named) -> PyTree:
        watched = log.watched(eqx.nn.inference_mode(model))
        if _is_stateful(watched):
            return watched(x, state, key=jr.key(0))[0]
        return watched(x, key=jr.key(0))

    tokens = len(in_shape) == 1 and log.embeds
    # A batch of one, because dropout's masks are drawn per example of a leading axis.
    x = jax.ShapeDtypeStruct((1, *in_shape), jnp.int32 if tokens else jnp.float32)
    program = eqx.filter_make_jaxpr(run)(model, state, x)[0].jaxpr
    *others, image = program.invars
    spatial = tuple(range(1, x.ndim if tokens else x.ndim - 1))
    constants = [reach.constant(v.aval.shape, len(spatial)) for v in others]
    reach.follow(program, [*constants, reach.given(image.aval.shape, spatial)], log.see)
    return tuple(log.calls)


class _CallLog:
    """The layers of a model, and their calls in the order of the run."""

    def __init__(self, model: PyTree, parts: Sequence[str]):
        # The layers as they were given: those that run hold tracers, which must not get out.
        leaves = jtu.tree_leaves_with_path(model, is_leaf=_is_layer)
        self.layers = {path_name(path): leaf for path, leaf in leaves if _is_layer(leaf)}
        self.layers |= {f"{p}[{i}]": m for p in parts for i, m in enumerate(getattr(model, p))}
        self.parts = parts
        self.calls: list[LayerCall] = []
        self._entered: list[tuple[str, tuple[int, ...]]] = []
        self._before: dict[str, Reach] = {}

    @property
    def embeds(self) -> bool:
        """Whether there is a layer that takes tokens."""
        return any(isinstance(layer, nn.Embedding) for layer in self.layers.values())

    def watched(self, model: PyTree) -> PyTree:
        """The model with every layer in an observer."""

        def watch(path, leaf):
            return _Watched(leaf, path_name(path), self) if _is_layer(leaf) else leaf

        model = jtu.tree_map_with_path(watch, model, is_leaf=_is_layer)
        for part in self.parts:
            modules = [
                _Watched(m, f"{part}[{i}]", self) for i, m in enumerate(getattr(model, part))
            ]
            model = eqx.tree_at(lambda m, part=part: getattr(m, part), model, tuple(modules))
        return model

    def enter(self, path: str, x: Array) -> tuple[str, Array]:
        """The input of a call, named, and the name of its output."""
        name = f"{_MARK}{len(self._entered)}"
        self._entered.append((path, x.shape))
        return name, checkpoint_name(x, f"{name} in")

    def see(self, name: str, value: Reach) -> Reach:
        """At a named value of the program: what it depends on, as the layer says it."""
        if not name.startswith(_MARK):
            return value
        if name.endswith(" in"):
            self._before[name] = value
            return value
        before = self._before[f"{name} in"]
        path, seen = self._entered[int(name.removeprefix(_MARK))]
        layer = self.layers[path]
        mapped = len(before.shape) - len(seen)  # by a vmap inside the model
        if before.shape[mapped:] == seen:
            value = _stated(layer, before, value)
        in_shape, out_shape = (r.shape[max(mapped, 1) :] for r in (before, value))
        self.calls.append(LayerCall(path, layer, in_shape, out_shape, *position(value)))
        return value


class _Watched(eqx.nn.StatefulLayer):
    """Stands in for a layer, stateful or not, and names its input and its output."""

    layer: Any
    path: str = eqx.field(static=True)
    log: _CallLog = eqx.field(static=True)

    def is_stateful(self) -> bool:
        return _is_stateful(self.layer)

    def __call__(self, x, *args, **kwargs):
        name, x = self.log.enter(self.path, x)
        if not self.is_stateful():
            return checkpoint_name(self.layer(x, *args, **kwargs), name)
        state = args[0] if args else kwargs["state"]
        known = state.tree_flatten()[1]
        indices = filter(is_state_index, jtu.tree_leaves(self.layer, is_leaf=is_state_index))
        if _is_layer(self.layer) and not all(i.marker in known for i in indices):
            return checkpoint_name(x, name), state
        y, state = self.layer(x, *args, **kwargs)
        return checkpoint_name(y, name), state

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("layer", "path", "log"):
            raise AttributeError(name)
        return getattr(self.layer, name)


def _stated(layer: eqx.Module, before: Reach, after: Reach) -> Reach:
    """What the output depends on: `after`, as the program says, or what the layer says itself."""
    if isinstance(layer, nn.ShapePreserving):
        return before
    # The window of a transposed convolution slides over the output.
    if not isinstance(layer, nn.WindowLayer) or isinstance(layer, nn.ConvTranspose):
        return after
    last = len(before.shape) - 1
    window = layer.window.at(layer.window.spatial(before.shape))
    value = reach.slid(before, after.shape, range(last - window.rank, last), window)
    if isinstance(layer, nn.Pool):
        return value
    return value.mixed(last).window(last, after.shape[last])


def position(value: Reach) -> Position:
    """Of the positions of an array, all of its last axis, the channels, together."""
    value = value.mixed(len(value.shape) - 1)
    count = len(value.spans)
    steps = [{step for step in value.along(i) if step} for i in range(count)]
    spans = [span or reach.Span(0, 0, 0) for span in value.spans]
    known = [span for span in spans if isinstance(span, reach.Span)]
    if len(known) < count or max(map(len, steps), default=0) > 1:
        return Position("unknown", (), ())
    if all(value.whole(i) for i in range(count)):
        return Position("all", (), ())
    step = tuple(sum(own) for own in steps)
    return Position(tuple(s.size for s in known), step, tuple(s.start for s in known))


def _is_stateful(layer: object) -> bool:
    return isinstance(layer, eqx.nn.StatefulLayer) and layer.is_stateful()


def _is_callable_module(node: object) -> bool:
    return isinstance(node, eqx.Module) and callable(node)


def _is_layer(node: object) -> TypeGuard[eqx.Module]:
    """Whether `node` is a layer with no layer inside it."""
    if not _is_callable_module(node):
        return False
    inside = jtu.tree_leaves(node, is_leaf=lambda n: n is not node and _is_callable_module(n))
    return not any(_is_callable_module(leaf) for leaf in inside)
