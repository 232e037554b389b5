"""What the results of a JAX program depend on, from its jaxpr: nothing is computed.

A walk through the program's operations, each of which says which positions of an input an entry of
its result depends on (`rules`), as linear functions of the entry's own position (`entries`). So
branches, residuals, layers that run twice and layers of any library are followed. What is found is
an upper bound: a zero in a weight is not seen, and what a Fourier transform mixes counts as all.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from cnnlab.models.reach.entries import Reach, Span, Unknown, constant, given, joined
from cnnlab.models.reach.rules import joined_unknown, rule, slid

__all__ = ["CALLS", "Reach", "Span", "Unknown", "constant", "follow", "given", "programs", "slid"]

# Operations that run the one program that they hold on their own operands.
_NAMES = """
    checkpoint closed_call core_call custom_jvp_call custom_vjp_call custom_vjp_call_jaxpr jit
    pjit remat remat2
"""
CALLS = frozenset(_NAMES.split())

# `(name, reach) -> reach` at every `jax.ad_checkpoint.checkpoint_name`, in the order of the run.
Watch = Callable[[str, Reach], Reach]


def follow(
    jaxpr: Jaxpr, inputs: Sequence[Reach], watch: Watch = lambda name, reach: reach
) -> list[Reach]:
    """What each result of a program depends on.

    **Arguments:** `inputs`, of its `invars`; `watch` is asked for the reach of every named value.
    """
    count = len(inputs[0].spans)
    found = dict(zip(jaxpr.invars, inputs, strict=True))

    def read(var: Var | Literal) -> Reach:
        if isinstance(var, Literal) or var not in found:
            return constant(getattr(var.aval, "shape", ()), count)
        return found[var]

    for eqn in jaxpr.eqns:
        ins = [read(var) for var in eqn.invars]
        found |= zip(eqn.outvars, _results(eqn, ins, watch, count), strict=True)
    return [read(var) for var in jaxpr.outvars]


def _results(eqn: JaxprEqn, ins: list[Reach], watch: Watch, count: int) -> list[Reach]:
    name, inner = eqn.primitive.name, programs(eqn.params)
    shapes = [getattr(var.aval, "shape", ()) for var in eqn.outvars]
    if name in CALLS and len(inner) == 1:
        return follow(inner[0], ins, watch)
    if name == "cond" and ins[0].free:
        branches = [follow(program, ins[1:], watch) for program in inner]
        return [joined(reaches, name) for reaches in zip(*branches, strict=True)]
    for program in inner:  # a loop, say: what is watched in there is seen, once
        some = [*ins, constant((), count)]
        lost = [joined_unknown(some, getattr(v.aval, "shape", ()), name) for v in program.invars]
        follow(program, lost, watch)
    if all(r.free for r in ins) and name != "name":
        return [constant(shape, count) for shape in shapes]
    carry = rule(name)
    if carry is None or any(0 in r.shape for r in ins):
        return [joined_unknown(ins, shape, name) for shape in shapes]
    # Some are NumPy's integers.
    plain = jax.tree.map(lambda v: int(v) if isinstance(v, np.integer) else v, eqn.params)
    results = [carry(ins, shape, index=i, **plain) for i, shape in enumerate(shapes)]
    return [watch(eqn.params["name"], results[0])] if name == "name" else results


def programs(params: Mapping[str, object]) -> list[Jaxpr]:
    """Those within an operation, by its parameters: a loop's body, the branches of a condition."""
    values = [v for p in params.values() for v in (p if isinstance(p, list | tuple) else [p])]
    closed = [v.jaxpr if isinstance(v, ClosedJaxpr) else v for v in values]
    return [v for v in closed if isinstance(v, Jaxpr)]
