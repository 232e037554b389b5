"""Multiply-adds of any JAX function, from its jaxpr: nothing is computed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Jaxpr, JaxprEqn

from cnnlab.accelerate.recognition import recognise
from cnnlab.analysis.program import traced
from cnnlab.display import View, shown
from cnnlab.models import reach
from cnnlab.ops import Problem

# What computes unseen.
UNSEEN = frozenset({"ffi_call", "io_callback", "pallas_call", "pure_callback"})


@shown
@dataclass(frozen=True)
class Cost:
    """What a function costs.

    - `multiply_adds`: pairs, of convolutions and products of matrices; nothing else has any. What
      a loop or each device does counts as often; of branches the dearest counts.
    - `unknown`: where there may be more, each once: a `while`, whose body counts once, and code
      that JAX does not see.
    """

    multiply_adds: int
    unknown: tuple[str, ...] = ()

    def view(self) -> View:
        unknown = f", without what is in {', '.join(self.unknown)}" if self.unknown else ""
        return View(notes=[f"{self.multiply_adds:,} multiply-adds{unknown}"])


def cost(function: Callable[..., Any], *inputs: Any) -> Cost:
    """The multiply-adds of a function: a model's, or with `jax.grad(loss)` a training step's.

    A convolution counts as the pass that it is (`cnnlab.accelerate`): the gradient of a strided one
    without the zeros that JAX puts between entries.

    **Arguments:**

    - `inputs`: its arguments, or `jax.ShapeDtypeStruct`s for arrays.
    """
    closed, *_ = traced(function, *inputs)
    return _program(closed.jaxpr)


def _program(jaxpr: Jaxpr) -> Cost:
    """Of the operations that a result needs."""
    needed, costs = set(map(id, jaxpr.outvars)), []
    for eqn in reversed(jaxpr.eqns):
        if eqn.effects or not needed.isdisjoint(map(id, eqn.outvars)):
            needed |= set(map(id, eqn.invars))
            costs.append(_operation(eqn))
    return _sum(costs)


def _operation(eqn: JaxprEqn) -> Cost:
    name, inner = eqn.primitive.name, [_program(p) for p in reach.programs(eqn.params)]
    if name in UNSEEN:
        return Cost(0, (name,))
    if name == "while":
        return _sum([*inner, Cost(0, (name,))])
    if name == "cond":
        return Cost(max(branch.multiply_adds for branch in inner), _sum(inner).unknown)
    every = _sum([*inner, Cost(_multiply_adds(eqn))])
    times = eqn.params["mesh"].size if name == "shard_map" else eqn.params.get("length", 1)
    return Cost(every.multiply_adds * times, every.unknown) if inner else every


def _multiply_adds(eqn: JaxprEqn) -> int:
    operands, results = (
        [cast(ShapedArray, var.aval) for var in vars] for vars in (eqn.invars, eqn.outvars)
    )
    if eqn.primitive is lax.dot_general_p:
        ((contracted, _), _), (a, _) = eqn.params["dimension_numbers"], operands
        return math.prod(results[0].shape) * math.prod(a.shape[axis] for axis in contracted)
    if eqn.primitive is lax.conv_general_dilated_p:
        reading = recognise(*operands, **eqn.params)
        if not isinstance(reading, str):
            return reading.members * reading.problem.multiply_adds
        kernel = operands[1].shape
        outputs = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
        return math.prod(results[0].shape) * math.prod(kernel) // max(outputs, 1)
    problem = eqn.params.get("problem")
    if isinstance(problem, Problem):  # one of cnnlab's own, of several side by side
        members = operands[0].shape[: -problem.rank - 2]
        return math.prod(members) * problem.multiply_adds
    return 0


def _sum(costs: list[Cost]) -> Cost:
    unknown = dict.fromkeys(name for cost in costs for name in cost.unknown)
    return Cost(sum(cost.multiply_adds for cost in costs), tuple(unknown))
