"""The convolution as JAX primitives, closed under differentiation, transposition and batching.

`y = conv(x, k)` is bilinear, so with `<y, dy>` the inner product there are three bilinear maps

    forward          (x, k)  -> y
    input_gradient   (dy, k) -> dx       <conv(x, k), dy> = <x, dx>
    kernel_gradient  (x, dy) -> dk       <conv(x, k), dy> = <k, dk>

and the transpose of each in either argument is another of the three. Derivatives of any order,
forward or reverse, are made of them, and every algorithm serves all of them.

Operands have a leading axis of members, `(m, batch, *spatial, c)` and `(m, *kernel_size, c_in / g,
c_out)`: convolutions of one shape side by side, which is what `vmap` over both arguments makes.
`vmap` over one of them makes a larger batch, or more channels.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching
from jax.sharding import PartitionSpec
from jaxtyping import Array

from cnnlab.ops.algorithms import PASSES, Algorithm, Pass
from cnnlab.ops.choice import choose
from cnnlab.ops.lowering import register
from cnnlab.ops.problem import Problem

_PRIMITIVES: dict[Pass, Primitive] = {
    which: Primitive("conv" if which == "forward" else f"conv_{which}") for which in PASSES
}
_ARGUMENTS: dict[Pass, tuple[str, str]] = {
    "forward": ("x", "kernel"),
    "input_gradient": ("y", "kernel"),
    "kernel_gradient": ("x", "y"),
}


def _result_shape(which: Pass, problem: Problem) -> tuple[int, ...]:
    shapes = (problem.y_shape, problem.x_shape, problem.kernel_shape)
    return shapes[PASSES.index(which)]


def bind(which: Pass, a: Array, b: Array, problem: Problem, algorithm: str) -> Array:
    """One of the three maps, for operands with an axis of members."""
    a, b = vary_alike(a, b)
    return _PRIMITIVES[which].bind(a, b, problem=problem, algorithm=algorithm)


def vary_alike(*operands: Array) -> list[Array]:
    """Under `shard_map` all operands vary along the same axes of the mesh."""
    varying = [jax.typeof(v).manual_axis_type.varying for v in operands]
    every = frozenset().union(*varying)
    to = lambda v, has: lax.pcast(v, tuple(every - has), to="varying") if every - has else v
    return [to(v, has) for v, has in zip(operands, varying, strict=True)]


def _abstract(which: Pass, a, b, *, problem: Problem, algorithm: str) -> ShapedArray:
    del algorithm
    for value, name in zip((a, b), _ARGUMENTS[which], strict=True):
        expected = (a.shape[0], *getattr(problem, f"{name}_shape"))
        if value.shape != expected or value.dtype != problem.dtype:
            raise TypeError(f"{which}: {name} is {value.str_short()}, not of {problem}")
    shape = (a.shape[0], *_result_shape(which, problem))
    return abstract_result(a, shape, kept=1 if which == "kernel_gradient" else 2)


def abstract_result(operand: ShapedArray, shape: tuple[int, ...], kept: int) -> ShapedArray:
    """An array of the operand's type; on an explicit mesh its first axes, members and examples,
    stay where they are."""
    spec = operand.sharding.spec[:kept]
    spec = PartitionSpec(*spec, *(None,) * (len(shape) - len(spec)))
    sharding = operand.sharding.update(spec=spec)
    return operand.update(shape=shape, weak_type=False, sharding=sharding)


def compute(
    which: Pass, platform: str, a: Array, b: Array, *, problem: Problem, algorithm: str
) -> Array:
    """What a platform runs: the algorithm of a name, for operands with an axis of members; on the
    CPU one member after another."""
    members = a.shape[0]
    if problem.batch == 0:
        return jnp.zeros((members, *_result_shape(which, problem)), problem.dtype)
    chosen = choose(algorithm, problem, which, platform)
    with jax.named_scope(f"{which}_{chosen.name}"):  # for profilers
        if members == 1:
            y = chosen.compute(which, lax.squeeze(a, (0,)), lax.squeeze(b, (0,)), problem)
            return lax.expand_dims(y, (0,))
        if platform != "cpu" and chosen.refusal(_side_by_side(problem, members)) is None:
            return _as_groups(chosen, which, a, b, problem)
        return lax.map(lambda ab: chosen.compute(which, ab[0], ab[1], problem), (a, b))


def _side_by_side(problem: Problem, members: int) -> Problem:
    names = ("groups", "in_channels", "out_channels")
    return replace(problem, **{name: members * getattr(problem, name) for name in names})


def _as_groups(chosen: Algorithm, which: Pass, a: Array, b: Array, problem: Problem) -> Array:
    """Members as groups of one convolution: accelerators run them all at once."""
    members = a.shape[0]
    a, b = (jnp.moveaxis(v, 0, -2) for v in (a, b))
    a, b = (v.reshape(*v.shape[:-2], -1) for v in (a, b))
    y = chosen.compute(which, a, b, _side_by_side(problem, members))
    return jnp.moveaxis(y.reshape(*y.shape[:-1], members, -1), -2, 0)


class _Axis(NamedTuple):
    """Channels of an array: which axis, and whether it holds those of all groups one after another
    or, as the kernel's `c_in / g`, those of any one."""

    place: int
    all_groups: bool


_CHANNELS = _Axis(-1, True)  # of x, of y, and the kernel's c_out
_GROUP_CHANNELS = _Axis(-2, False)  # the kernel's c_in / g

# `vmap` over one operand as one larger convolution. Where that operand has examples and the result
# has them, too, there are more examples. In the other four cases each of the B mapped arrays has
# channels of its own:
#
#   forward, kernel         y_b = conv(x, k_b)          [k_1 .. k_B] along c_out gives [y_1 .. y_B]
#   input gradient, kernel  dx_b = conv'(dy, k_b)       along c_in:  the channels of dx
#   kernel gradient, x      dk_b = sum of x_b dy        along c_in:  the rows of dk
#   kernel gradient, dy     dk_b = sum of x dy_b        along c_out: the columns of dk
#
# as no sum in them goes over those channels. Groups must stay together: B times as many channels in
# each, so the mapped axis goes between groups and channels: (groups, B, c / groups).
_JOINS = {  # (which, operand) -> the problem's channels that grow, the operand's axis, the result's
    ("forward", 1): ("out_channels", _CHANNELS, _CHANNELS),
    ("input_gradient", 1): ("in_channels", _GROUP_CHANNELS, _CHANNELS),
    ("kernel_gradient", 0): ("in_channels", _CHANNELS, _GROUP_CHANNELS),
    ("kernel_gradient", 1): ("out_channels", _CHANNELS, _CHANNELS),
}


def _batch(which: Pass, args: tuple, axes: tuple, *, problem: Problem, algorithm: str):
    """`vmap` over one operand or both."""
    run = functools.partial(bind, which, algorithm=algorithm)
    if None not in axes:
        return _map_members(run, args, axes, problem)
    i = 0 if axes[1] is None else 1
    size = args[i].shape[axes[i]]
    x = jnp.moveaxis(args[i], axes[i], 0)
    if (which, i) not in _JOINS:
        # More examples: (size, m, batch, ..) as (m, size * batch, ..).
        x = jnp.moveaxis(x, 0, 1)
        x = x.reshape(x.shape[0], -1, *x.shape[3:])
        y = run(x, args[1], problem=replace(problem, batch=size * problem.batch))
        return y.reshape(y.shape[0], size, -1, *y.shape[2:]), 1
    channels, mine, results = _JOINS[which, i]
    joined = _join(x, mine.place, problem.groups if mine.all_groups else 1)
    wide = replace(problem, **{channels: size * getattr(problem, channels)})
    y = run(*(joined if j == i else v for j, v in enumerate(args)), problem=wide)
    return _part(y, results.place, problem.groups if results.all_groups else 1, size), 0


def _map_members(run: Callable, args: tuple, axes: tuple, problem: Problem) -> tuple[Array, int]:
    moved = [jnp.moveaxis(v, axis, 0) for v, axis in zip(args, axes, strict=True)]
    size, members = moved[0].shape[:2]
    y = run(*(v.reshape(-1, *v.shape[2:]) for v in moved), problem=problem)
    return y.reshape(size, members, *y.shape[1:]), 0


def _join(x: Array, place: int, groups: int) -> Array:
    """The first axis into axis `place`, inside each of the groups there."""
    at = x.ndim + place - 1
    x = jnp.moveaxis(x, 0, at)  # .., size, groups * c, ..
    x = x.reshape(*x.shape[: at + 1], groups, -1, *x.shape[at + 2 :])
    x = jnp.swapaxes(x, at, at + 1)
    return x.reshape(*x.shape[:at], -1, *x.shape[at + 3 :])


def _part(y: Array, place: int, groups: int, size: int) -> Array:
    """What `_join` joined, as the first axis again."""
    at = y.ndim + place
    y = y.reshape(*y.shape[:at], groups, size, -1, *y.shape[at + 1 :])
    y = jnp.moveaxis(y, at + 1, 0)
    return y.reshape(*y.shape[: at + 1], -1, *y.shape[at + 3 :])


def _register(which: Pass) -> None:
    primitive = _PRIMITIVES[which]
    here = functools.partial(compute, which)
    register(primitive, functools.partial(_abstract, which), here)
    batching.primitive_batchers[primitive] = functools.partial(_batch, which)


for _which in PASSES:
    _register(_which)


def _define_transposes() -> None:
    """`lhs(ct, a, b)` and `rhs(ct, a, b)`: the cotangent of the operand that is linear."""
    to = {which: functools.partial(bind, which) for which in PASSES}
    forward, dx, dk = (to[which] for which in PASSES)
    # <conv(x, k), dy> is the one number that all three are derivatives of.
    rules: dict[Pass, tuple[Callable[..., Array], Callable[..., Array]]] = {
        "forward": (lambda dy, x, k, **p: dx(dy, k, **p), lambda dy, x, k, **p: dk(x, dy, **p)),
        "input_gradient": (
            lambda x, dy, k, **p: forward(x, k, **p),
            lambda x, dy, k, **p: dk(x, dy, **p),
        ),
        "kernel_gradient": (
            lambda k, x, dy, **p: dx(dy, k, **p),
            lambda k, x, dy, **p: forward(x, k, **p),
        ),
    }
    for which, (left, right) in rules.items():
        ad.defbilinear(_PRIMITIVES[which], left, right)


_define_transposes()
