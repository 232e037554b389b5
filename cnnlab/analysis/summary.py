"""A model as a table: shapes, parameters, multiply-adds and receptive field of every layer."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, overload

import equinox as eqx
from jaxtyping import PyTree

from cnnlab import nn
from cnnlab.accelerate.report import Served, served
from cnnlab.analysis.cost import Cost, cost
from cnnlab.analysis.memory import Memory, memory
from cnnlab.display import View, shown
from cnnlab.models import count_parameters
from cnnlab.models.trace import LayerCall, ReceptiveField, trace
from cnnlab.ops import REGISTRY

_HEADINGS = (
    "layer", "kind", "output shape", "algorithm", "parameters", "multiply-adds", "receptive field"
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer, in the order in which the layers run.

    - `path`: its name in the model; `kind`: its class.
    - `output_shape`: for one input, without batch axes.
    - `algorithm`: what computes a convolution, for a batch of `batch_size`; where `auto` takes
      several, those of the forward pass and of the gradients in input and kernel; else `""`.
    - `parameters`: numbers that train.
    - `multiply_adds`: multiply-add pairs for one input; 0 for what is neither a convolution nor
      a matrix product.
    - `receptive_field`: input positions per spatial axis that one output depends on, over all
      branches; `"all"` for the whole input, `"unknown"` where it is not followed.
    """

    path: str
    kind: str
    output_shape: tuple[int, ...]
    algorithm: str
    parameters: int
    multiply_adds: int
    receptive_field: ReceptiveField


@shown
@dataclasses.dataclass(frozen=True)
class Summary:
    """The rows and their totals; shown as a table, and under it what the errors of each algorithm
    in it are relative to.

    `parameters` counts the model, so a layer that runs twice counts once there.
    """

    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    multiply_adds: int

    def view(self) -> View:
        cells = [
            (r.path, r.kind, _shape(r.output_shape), r.algorithm, f"{r.parameters:,}",
             f"{r.multiply_adds:,}", _field(r.receptive_field))
            for r in self.rows
        ]  # fmt: skip
        first = ("input", "", _shape(self.input_shape), "", "", "", "")
        total = ("total", "", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", "")
        used = dict.fromkeys(name for r in self.rows for name in r.algorithm.split(", ") if name)
        errors = [f"{name}: errors relative to {REGISTRY[name].errors}" for name in used]
        table = [_HEADINGS, first, *cells, total]
        return View(table=table, names=4, total=True, notes=errors)


@shown
class Operations(NamedTuple):
    """Of any JAX function, from its jaxpr: `served`, what `cnnlab.accelerate` makes of its
    convolutions and poolings; `cost`, its multiply-adds; and `memory`, what is live at a time."""

    served: Served
    cost: Cost
    memory: Memory

    def view(self) -> View:
        return View(notes=f"{self.served}\n{self.cost}\n{self.memory}".splitlines())


@overload
def summary(
    model: PyTree,
    input_shape: tuple[int, ...],
    state: eqx.nn.State | None = None,
    *,
    batch_size: int = 1,
) -> Summary: ...
@overload
def summary(model: Callable[..., PyTree], input_shape: PyTree, *others: PyTree) -> Operations: ...
def summary(
    model: PyTree,
    input_shape: tuple[int, ...] | PyTree,
    *others: PyTree,
    state: eqx.nn.State | None = None,
    batch_size: int = 1,
) -> Summary | Operations:
    """Counts a model layer by layer. Nothing is computed, so any size is fast.

    **Arguments:**

    - `model`: a layer, backbone, head or classifier; may be abstract (`eqx.filter_eval_shape`).
    - `input_shape`: shape of one input, `(*spatial, c)`; `(n,)` of tokens.
    - `state`: the model's state; without it, normalisations are taken to keep their input's shape.
    - `batch_size`: examples at a time, which the choice of algorithms depends on.

    **Returns:** a `Summary`; `print` it for the table. How receptive fields are counted:
    `cnnlab.models.trace`.

    With arrays, or `jax.ShapeDtypeStruct`s, in the place of a shape: `Operations` of any function.
    """
    if not isinstance(input_shape, tuple | list) or not all(
        isinstance(n, int) for n in input_shape
    ):
        inputs = (input_shape, *others)
        return Operations(served(model, *inputs), cost(model, *inputs), memory(model, *inputs))
    (state,) = others or (state,)
    input_shape = tuple(input_shape)
    rows = tuple(_row(call, batch_size) for call in trace(model, input_shape, state))
    multiply_adds = sum(row.multiply_adds for row in rows)
    return Summary(input_shape, rows, count_parameters(model), multiply_adds)


def _row(call: LayerCall, batch_size: int) -> Row:
    layer = call.layer
    return Row(
        path=call.path,
        kind=type(layer).__name__,
        output_shape=call.out_shape,
        algorithm=_algorithm(call, batch_size),
        parameters=count_parameters(layer),
        multiply_adds=layer.multiply_adds(call.in_shape) if isinstance(layer, nn.Layer) else 0,
        receptive_field=call.receptive_field,
    )


def _algorithm(call: LayerCall, batch_size: int) -> str:
    if not isinstance(call.layer, nn.Convolution):
        return ""
    names = call.layer.algorithms((batch_size, *call.in_shape))
    return names[0] if len(set(names)) == 1 else ", ".join(names)


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _field(field: ReceptiveField) -> str:
    return field if isinstance(field, str) else " x ".join(map(str, field))
