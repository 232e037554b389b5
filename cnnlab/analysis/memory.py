"""Memory of any JAX function, from its jaxpr: nothing is computed."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var

from cnnlab.analysis.cost import UNSEEN
from cnnlab.analysis.program import traced
from cnnlab.models import reach

# Other names for the same bytes.
_VIEWS = frozenset({"name", "reshape", "squeeze"})
# Their programs are about one entry.
_OF_ONE_ENTRY = ("reduce", "scatter", "select_and_scatter")


@dataclass(frozen=True)
class Memory:
    """Bytes that are live while a function runs.

    - `peak`: the most at a time, arguments and results among them.
    - `arguments`: of what it is given, and of the constants that it holds; they stay.
    - `results`: of what it returns and was not given.
    - `unknown`: operations that may take more, each once: code that JAX does not see, and
      operations on programs of a kind that is not known here.
    """

    peak: int
    arguments: int
    results: int
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        unknown = f", without what is in {', '.join(self.unknown)}" if self.unknown else ""
        peak, arguments, results = map(_shown, (self.peak, self.arguments, self.results))
        return f"{peak} live at most, unfused (arguments {arguments}, results {results}){unknown}"


def memory(function: Callable[..., Any], *inputs: Any) -> Memory:
    """The memory that a function takes where its operations run one after the other, in the order
    of the program: before XLA fuses and reorders them.

    A value is live from the operation that makes it to the last one that takes it, arguments and
    results to the end. Calls (`jit`, `checkpoint`, `custom_vjp`) are the operations in them. A loop
    has its results and, beside them, what a turn takes; a condition what its dearest branch takes;
    `shard_map` what all devices take together. A reshape takes nothing, and what no result needs is
    left out.

    So a fused program takes less, as what is entry by entry is often never stored. What an
    operation has for itself alone while it runs, such as patches or transforms, is not counted.

    **Arguments:**

    - `inputs`: its arguments, or `jax.ShapeDtypeStruct`s for arrays. Of `jax.grad(loss)`, what the
      backward pass needs of the forward one is live in between.
    """
    closed, *_ = traced(function, *inputs)
    jaxpr = closed.jaxpr
    arguments = _bytes([*jaxpr.invars, *_constants(jaxpr)])
    made = _made(jaxpr)
    return Memory(arguments + made.peak, arguments, made.results, made.unknown)


@dataclass(eq=False)
class _Value:
    """What a program makes; two with the same bytes are still two."""

    bytes: int


class _Operation(NamedTuple):
    """One that is no call. What is given to the program is not among what it takes."""

    eqn: JaxprEqn
    takes: list[_Value]
    makes: list[_Value]


class _Made(NamedTuple):
    """By a program, whose inputs are not counted: the most bytes at a time, those of its results,
    and what may take more."""

    peak: int
    results: int
    unknown: tuple[str, ...]


def _made(jaxpr: Jaxpr) -> _Made:
    """Backwards, so that the first use that is met is the last one."""
    known: dict[Var, _Value] = {}
    operations = list(_operations(jaxpr, known))
    live = set(_values(known, jaxpr.outvars))
    results = now = peak = sum(v.bytes for v in live)
    unknown: dict[str, None] = {}
    for eqn, takes, makes in reversed(operations):
        if not eqn.effects and live.isdisjoint(makes):
            continue
        beside, names = _beside(eqn)
        unknown |= dict.fromkeys(names)
        now += sum(v.bytes for v in {*takes, *makes} - live)
        peak = max(peak, now + beside)
        now -= sum(v.bytes for v in makes)
        live |= {*takes}
    return _Made(peak, results, tuple(unknown))


def _operations(jaxpr: Jaxpr, known: dict[Var, _Value]) -> Iterator[_Operation]:
    """All, those of calls among them. What each variable stands for becomes `known`, unless it is
    given to the program."""
    for eqn in jaxpr.eqns:
        inner = reach.programs(eqn.params)
        if eqn.primitive.name in reach.CALLS and len(inner) == 1:
            [called] = inner
            within = _renamed(known, eqn.invars, called.invars)
            yield from _operations(called, within)
            known |= _renamed(within, called.outvars, eqn.outvars)
        elif eqn.primitive.name in _VIEWS:
            known |= _renamed(known, eqn.invars, eqn.outvars)
        else:
            makes = [_Value(_bytes([var])) for var in eqn.outvars]
            yield _Operation(eqn, _values(known, eqn.invars), makes)
            known |= zip(eqn.outvars, makes, strict=True)


def _constants(jaxpr: Jaxpr) -> Iterator[Var]:
    yield from jaxpr.constvars
    for eqn in jaxpr.eqns:
        for program in reach.programs(eqn.params):
            yield from _constants(program)


def _values(known: dict[Var, _Value], variables: Sequence[Any]) -> list[_Value]:
    return [known[v] for v in variables if not isinstance(v, Literal) and v in known]


def _renamed(known: dict[Var, _Value], old: Sequence[Any], new: Sequence[Var]) -> dict[Var, _Value]:
    pairs = zip(old, new, strict=False)  # a reshape may take its sizes, too
    return {b: known[a] for a, b in pairs if not isinstance(a, Literal) and a in known}


def _beside(eqn: JaxprEqn) -> tuple[int, tuple[str, ...]]:
    """What an operation has while it runs beside what it takes and makes, and what may be more."""
    name, programs = eqn.primitive.name, reach.programs(eqn.params)
    if name in UNSEEN:
        return 0, (name,)
    if not programs or name.startswith(_OF_ONE_ENTRY):
        return 0, ()
    inner = [_made(program) for program in programs]
    most = max(made.peak for made in inner)
    unknown = tuple(unseen for made in inner for unseen in made.unknown)
    if name == "scan":  # and its part of what it goes through
        pairs: list[Any] = list(zip(eqn.invars, programs[0].invars, strict=True))
        return most + _bytes([b for a, b in pairs if a.aval.ndim > b.aval.ndim]), unknown
    if name == "while":
        return most, unknown
    if name in ("cond", "shard_map"):  # what they make is the results of the operation
        times = eqn.params["mesh"].size if name == "shard_map" else 1
        return max(times * most - _bytes(eqn.outvars), 0), unknown
    return most, (*unknown, name)


def _bytes(variables: Sequence[Any]) -> int:
    """Of different variables, each once."""
    arrays = [v.aval for v in {*variables} if hasattr(v.aval, "shape")]
    return sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays)


def _shown(size: int) -> str:
    for unit, of in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= of:
            return f"{size / of:.1f} {unit}"
    return f"{size} bytes"
