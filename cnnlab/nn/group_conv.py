"""Convolution over rotations and reflections, too (A 4.3; Cohen and Welling 2016, 1602.07576).

The elements of a group are numbered: r quarter turns counterclockwise are r, and with p4m, the same
after a reflection (left and right swapped) 4 + r. Features have an axis of orientations before the
spatial ones, one entry an element, so that what works on maps of any batch works on each of them:
norms, which so share their statistics, activations, pools. `GlobalPool("avg", 3)` is invariant.
"""

import functools
from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from cnnlab import ops
from cnnlab.arguments import check_channels, one_of, positive_int, takes_arrays
from cnnlab.nn.initializers import initializer
from cnnlab.nn.layer import Convolution, WindowLayer
from cnnlab.ops import Pass, Problem, Window

GROUPS = {"p4": 4, "p4m": 8}  # elements that leave the origin where it is


class GroupConv2d(Convolution, WindowLayer):
    """Convolution equivariant to quarter turns (`"p4"`) and reflections (`"p4m"`): an input that is
    turned gives outputs that are turned, with their orientations permuted (`turned`).

    With `lifting`, of images, `(*batch, h, w, c_in) -> (*batch, g, h', w', c_out)` for g elements
    (their eq. 10); else of what such a layer gives, `(*batch, g, h, w, c_in)` (eq. 11). `weight` is
    `(k, k, c_in, c_out)`, or `(k, k, g c_in, c_out)`; `bias`, one for all orientations, `(c_out,)`
    or None. The kernel of all orientations, g times as large, is made of it by gathering, and
    `ops.conv` does the rest, by any of its algorithms.
    """

    weight: Float[Array, "k k c_in c_out"]
    bias: Float[Array, " c_out"] | None
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    window: Window = eqx.field(static=True)
    group: str = eqx.field(static=True)
    lifting: bool = eqx.field(static=True)
    algorithm: str = eqx.field(static=True)
    passes: ClassVar[tuple[Pass, ...]] = ops.PASSES

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: str = "SAME",
        use_bias: bool = True,
        *,
        group: str = "p4",
        lifting: bool = False,
        algorithm: str = "auto",
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """**Arguments:** as of `Conv`, but for

        - `in_channels`, `out_channels`: for each orientation.
        - `kernel_size`: one for both axes; odd with padding `"SAME"`, which else is uneven.
        - `padding`: `"SAME"` or `"VALID"`.
        - `group`: `"p4"` (4 elements) or `"p4m"` (8).
        - `lifting`: whether the input is images, without orientations.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.in_channels = positive_int("in_channels", in_channels)
        self.out_channels = positive_int("out_channels", out_channels)
        size = positive_int("kernel_size", kernel_size)
        one_of("padding", padding, ("SAME", "VALID"))
        if padding == "SAME" and size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd int with padding 'SAME', got {size}")
        self.window = Window.of(2, size, 1, padding)
        self.group = one_of("group", group, GROUPS)
        self.lifting = lifting
        self.algorithm = one_of("algorithm", algorithm, ops.ALGORITHMS)
        shape = (size, size, self._orientations_in * self.in_channels, self.out_channels)
        self.weight = initializer(kernel_init)(key, shape)
        self.bias = jnp.zeros(self.out_channels) if use_bias else None

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c_in"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c_out"]:
        """**Raises:** `ValueError`: other channels, or not the group's orientations."""
        del key
        check_channels(x, self.in_channels)
        if not self.lifting:
            self._check(x.shape)
            x = jnp.moveaxis(x, -4, -2)
            x = x.reshape(*x.shape[:-2], -1)
        g = GROUPS[self.group]
        y = ops.conv(
            x,
            self.kernel(),
            **self.window.arguments,
            algorithm=self.algorithm,
            bias=None if self.bias is None else jnp.tile(self.bias, g),
        )
        return jnp.moveaxis(y.reshape(*y.shape[:-1], g, self.out_channels), -2, -4)

    def kernel(self) -> Float[Array, "k k g_c_in g_c_out"]:
        """What `ops.conv` is given: `(k, k, c_in, g c_out)` with `lifting`, else `(k, k, g c_in, g
        c_out)`, orientation by orientation."""
        g, size = GROUPS[self.group], self.kernel_size[0]
        index = _expansion(self.group, size, self._orientations_in)
        weight = self.weight.reshape(-1, self.in_channels, self.out_channels)
        expanded = jnp.moveaxis(weight[index], 3, 4)  # k, k, from, c_in, to, c_out
        return expanded.reshape(size, size, -1, g * self.out_channels)

    @property
    def _orientations_in(self) -> int:
        return 1 if self.lifting else GROUPS[self.group]

    def _check(self, shape: Sequence[int]) -> None:
        g = GROUPS[self.group]
        if len(shape) < 4 or shape[-4] != g:
            raise ValueError(
                f"x: expected shape (*batch, {g}, h, w, {self.in_channels}) for {self.group}, "
                f"got {tuple(shape)}"
            )

    def problem(self, in_shape: Sequence[int]) -> Problem:
        *batch, h, w, c = in_shape
        if not self.lifting:
            self._check(in_shape)
            batch.pop()
        g, size = GROUPS[self.group], self.kernel_size
        merged = (*batch, h, w, self._orientations_in * c)
        kernel = (*size, self._orientations_in * self.in_channels, g * self.out_channels)
        return ops.describe(merged, kernel, **self.window.arguments, dtype=self.weight.dtype)

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        spatial = self.window.output_shape(in_shape[-3:-1])
        return (GROUPS[self.group], *spatial, self.out_channels)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """Those of the plain convolution with the kernel of all orientations."""
        return self.problem(in_shape).multiply_adds


def turned(x: Shaped[Array, "... h w c"], element: int) -> Shaped[Array, "... h2 w2 c"]:
    """Images `(*batch, h, w, c)`, turned and reflected by an element of the group."""
    x = jnp.flip(x, -2) if element >= 4 else x
    return jnp.rot90(x, element % 4, (-3, -2))


def turned_features(
    x: Shaped[Array, "... g h w c"], element: int
) -> Shaped[Array, "... g h2 w2 c"]:
    """Features `(*batch, g, h, w, c)` turned by an element: maps turned, orientations permuted."""
    order = [_from(element, t) for t in range(x.shape[-4])]
    return turned(jnp.take(x, np.array(order), -4), element)


def _from(s: int, t: int) -> int:
    """The element `s^-1 t`. As (m, r), r turns of what is reflected m times, it is (m + m', r' - r)
    where s does not reflect, and (m + m', r - r') where it does."""
    (m, r), (m2, r2) = divmod(s, 4), divmod(t, 4)
    return 4 * (m ^ m2) + (r - r2 if m else r2 - r) % 4


@functools.cache
def _expansion(group: str, size: int, orientations: int) -> Int[np.ndarray, "k k g_in g"]:
    """For each tap, orientation it comes from and one it goes to, the place in a flat weight: that
    of orientation s is the weight turned by s, and from t it takes the part of s^-1 t."""
    places = np.arange(size * size * orientations).reshape(size, size, orientations)

    def seen_by(s: int) -> np.ndarray:
        own = (
            places if orientations == 1 else places[..., [_from(s, t) for t in range(orientations)]]
        )
        return np.rot90(own[:, ::-1] if s >= 4 else own, s % 4)

    return np.stack([seen_by(s) for s in range(GROUPS[group])], -1)
