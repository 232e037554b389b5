"""Initial weights by name, with fans computed for the kernel layout `(*k, c_in / groups, c_out)`.

- he: variance 2 / fan_in (He et al. 2015, arXiv:1502.01852), for relu-like activations
- glorot: variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)
- lecun: variance 1 / fan_in (LeCun et al. 1998)
- orthogonal: the `(prod(k) * c_in / groups, c_out)` matrix has orthonormal rows or columns
  (Saxe et al. 2014, arXiv:1312.6120)
- dirac: the kernel that copies its input (within each group), so that a convolution with stride 1
  and padding SAME is the identity on the channels that input and output share
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.typing import DTypeLike
from jaxtyping import Array

from cnnlab.arguments import one_of

Shape: TypeAlias = tuple[int, ...]


# `init(key, shape, dtype=None, *, groups=1)` gives an array of `shape`, a kernel's layout.
Initializer: TypeAlias = Callable[..., Array]


def fans(shape: Shape, groups: int = 1) -> tuple[int, int]:
    """(fan_in, fan_out) of a kernel `(*k, c_in / groups, c_out)`.

    fan_in is the number of terms in the sum (B eq. 10.5) behind one output value; fan_out the
    number of output values that one input value takes part in (stride 1).
    """
    taps = math.prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1] // groups


_VARIANCE: dict[str, Callable[[int, int], float]] = {
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}


def _draw(
    sample: Callable[..., Array], key: Array, shape: Shape, dtype: DTypeLike | None, **options
) -> Array:
    # Drawn flat: the same numbers, but XLA takes ten times longer to compile a draw with 4 axes.
    flat = sample(key, (math.prod(shape),), dtype or jnp.result_type(float), **options)
    return flat.reshape(shape)


def _normal(variance: Callable[[int, int], float]) -> Initializer:
    def init(key, shape, dtype=None, *, groups=1):
        std = math.sqrt(variance(*fans(shape, groups)))
        return std * _draw(jr.normal, key, shape, dtype)

    return init


def _uniform(variance: Callable[[int, int], float]) -> Initializer:
    def init(key, shape, dtype=None, *, groups=1):
        limit = math.sqrt(3 * variance(*fans(shape, groups)))
        return _draw(jr.uniform, key, shape, dtype, minval=-limit, maxval=limit)

    return init


def _orthogonal(key, shape, dtype=None, *, groups=1):
    del groups
    return jax.nn.initializers.orthogonal()(key, shape, dtype or jnp.result_type(float))


def _dirac(key, shape, dtype=None, *, groups=1):
    del key
    *window, c_in, c_out = shape
    # Output m of a group copies the group's input m; outputs beyond the inputs stay zero.
    copies = jnp.tile(jnp.eye(c_in, c_out // groups), (1, groups))
    centre = tuple((k - 1) // 2 for k in window)  # where SAME padding puts the output's own pixel
    return jnp.zeros(shape, dtype or jnp.result_type(float)).at[centre].set(copies)


def _zeros(key, shape, dtype=None, *, groups=1):
    del key, groups
    return jnp.zeros(shape, dtype or jnp.result_type(float))


def _ones(key, shape, dtype=None, *, groups=1):
    del key, groups
    return jnp.ones(shape, dtype or jnp.result_type(float))


INITIALIZERS: dict[str, Initializer] = {
    **{f"{name}_normal": _normal(variance) for name, variance in _VARIANCE.items()},
    **{f"{name}_uniform": _uniform(variance) for name, variance in _VARIANCE.items()},
    "orthogonal": _orthogonal,
    "dirac": _dirac,
    "zeros": _zeros,
    "ones": _ones,
}


def initializer(kernel_init: str | Callable[..., Array]) -> Initializer:
    """The initialiser of a name in `INITIALIZERS`.

    A callable `(key, shape, dtype) -> array`, such as those in `jax.nn.initializers`, is taken
    too; it is not told the groups.

    **Raises:** `ValueError` for an unknown name: it names the nearest one.
    """
    if isinstance(kernel_init, str):
        return INITIALIZERS[one_of("kernel_init", kernel_init, INITIALIZERS)]

    def init(key, shape, dtype=None, *, groups=1):
        del groups
        return kernel_init(key, shape, dtype or jnp.result_type(float))

    return init
