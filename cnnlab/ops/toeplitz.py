"""A convolution as the matrix it is (A 3.3)."""

import functools
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num

from cnnlab.arguments import takes_arrays
from cnnlab.ops.problem import Problem, describe
from cnnlab.ops.window import Ints, Padding, on_grid


@takes_arrays
def toeplitz_matrix(
    kernel: Num[Array, "*window c_in c_out"],
    input_shape: Sequence[int],
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    groups: int = 1,
    flip: bool = False,
) -> Num[Array, "outputs inputs"]:
    """Dense matrix `T` of `x -> conv(x, kernel, ...)`: `vect(conv(x)) = T @ vect(x)` (A 3.3).

    **Arguments:**

    - `kernel`: `(*kernel_size, c_in / groups, c_out)`, 1 to 3 spatial axes.
    - `input_shape`: `(*spatial, c_in)`, no batch.

    **Returns:** `(prod(out) * c_out, prod(spatial) * c_in)`, both sides vectorised in row-major
    order.

    **Raises:** `ValueError`: arguments that `conv` refuses too.
    """
    problem = describe(input_shape, kernel.shape, stride, padding, dilation, groups)
    if len(input_shape) != problem.rank + 1:
        raise ValueError(
            f"input_shape: expected {problem.rank} spatial sizes and channels, without batch, "
            f"got {tuple(input_shape)}"
        )
    return matrix(kernel, problem, flip=flip)


def matrix(kernel: Array, problem: Problem, *, flip: bool = False) -> Array:
    """`toeplitz_matrix` of arguments already checked."""
    if flip:
        kernel = jnp.flip(kernel, range(problem.rank))
    kernel = _without_groups(kernel, problem.groups)
    rank = problem.rank
    tables = [_taps(problem, axis) for axis in range(rank)]
    tap = tuple(on_grid(t, axis, rank) for axis, (t, _) in enumerate(tables))
    hits = (on_grid(h, axis, rank) for axis, (_, h) in enumerate(tables))
    hit = functools.reduce(np.logical_and, hits)
    blocks = jnp.where(hit[..., None, None], kernel[tap], 0)  # (*out, *in, c_in, c_out)
    blocks = jnp.moveaxis(blocks, -1, rank)  # (*out, c_out, *in, c_in)
    return blocks.reshape(
        math.prod(problem.out) * problem.out_channels,
        math.prod(problem.spatial) * problem.in_channels,
    )


def _taps(problem: Problem, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """For each (output, input) position along an axis: which tap joins them, and whether one does.

    Output `o` reads input `i` through tap `t` where `o * stride + t * dilation = i + low`.
    """
    out = np.arange(problem.out[axis])[:, None]
    inp = np.arange(problem.spatial[axis])[None, :]
    offset = inp + problem.padding[axis][0] - out * problem.stride[axis]
    tap, rest = np.divmod(offset, problem.dilation[axis])
    hit = (rest == 0) & (tap >= 0) & (tap < problem.kernel_size[axis])
    return np.where(hit, tap, 0), hit


def _without_groups(kernel: Array, groups: int) -> Array:
    """The same map as a kernel of one group: `(..., c_in / g, c_out)` -> `(..., c_in, c_out)`."""
    if groups == 1:
        return kernel
    *window, group_in, out_channels = kernel.shape
    split = kernel.reshape(*window, 1, group_in, groups, out_channels // groups)
    same = np.eye(groups, dtype=bool)[:, None, :, None]
    full = jnp.where(same, split, 0)  # (..., g, c_in / g, g, c_out / g)
    return full.reshape(*window, groups * group_in, out_channels)
