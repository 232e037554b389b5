"""The convolution and its transpose."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Inexact, Num

from cnnlab.arguments import shown, takes_arrays, to_tuple
from cnnlab.ops.algorithms import FOURIER
from cnnlab.ops.candidates import Candidates
from cnnlab.ops.choice import check
from cnnlab.ops.fused import ACTIVATIONS, conv_bias
from cnnlab.ops.primitive import bind
from cnnlab.ops.problem import describe, divides, kernel_rank
from cnnlab.ops.window import Ints, Padding, Window


@takes_arrays
def conv(
    x: Num[Array, "*shape c_in"],
    kernel: Num[Array, "*window c_group c_out"],
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    groups: int = 1,
    flip: bool = False,
    algorithm: str = "auto",
    bias: Num[Array, "_"] | None = None,
    activation: str | None = None,
) -> Num[Array, "*out c_out"]:
    """Convolution of A 3.2 / B eq. 10.8, in one, two or three dimensions.

    `y[i, m] = sum_{t, c} x'[i * stride + t * dilation, c] * kernel[t, c, m]` with `x'` the padded
    input: what deep learning calls convolution and signal processing calls cross-correlation.

    **Arguments:**

    - `x`: `(*batch, *spatial, c_in)`, any number of batch axes.
    - `kernel`: `(*kernel_size, c_in / groups, c_out)`; its rank says how many axes are spatial.
    - `stride`: step between windows (A 4.7), an int or one per axis.
    - `padding`: zeros around the input: `"SAME"`, `"VALID"`, `"CAUSAL"` (1-D), an int, or one entry
      per axis, each an int or a `(low, high)` pair (see `resolve_padding`).
    - `dilation`: distance between the kernel's taps, an int or one per axis.
    - `groups`: channels are split into this many groups that do not mix (A 5.2); `groups = c_in` is
      a depthwise convolution.
    - `flip`: reverse the kernel in space: the convolution of signal processing (A 3.5).
    - `algorithm`: `"auto"`, the fastest; `"direct"`, the fastest of those that sum every result by
      itself, so that nothing outside a window touches its result (docs/errors.md); or one of the
      names that `algorithms` lists.
    - `bias`: added to the result, one number a channel (A 3.2).
    - `activation`: applied at the end: None, `"relu"` or `"gelu"` (its tanh form, as
      `jax.nn.gelu`). Some algorithms add the bias and apply it while they write the result.

    **Returns:** `(*batch, *out, c_out)` in the promoted type of `x` and `kernel`; bfloat16 and
    float16 are summed in float32.

    **Raises:** `ValueError`: a bad argument, a window that does not fit, or an algorithm that
    cannot serve; one line that begins with the argument's name.
    """
    dtype = jnp.result_type(x, kernel)
    problem = describe(x.shape, kernel.shape, stride, padding, dilation, groups, dtype)
    algorithm = check(algorithm, problem)
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: expected None, 'relu' or 'gelu', got {shown(activation)}")
    if bias is not None and bias.shape != problem.kernel_shape[-1:]:
        raise ValueError(f"bias: expected shape {problem.kernel_shape[-1:]}, got {bias.shape}")
    if flip:
        kernel = jnp.flip(kernel, range(problem.rank))
    batch = x.shape[: -problem.rank - 1]
    x, kernel = x.astype(dtype).reshape(problem.x_shape), kernel.astype(dtype)
    if bias is None:
        y = bind("forward", x[None], kernel[None], problem, algorithm)
        y = ACTIVATIONS[activation](y)
    else:
        y = conv_bias(x, kernel, bias.astype(dtype), problem, algorithm, activation)
    return y.reshape(*batch, *problem.y_shape[1:])


@takes_arrays
def fft_conv(
    x: Inexact[Array, "*shape c_in"],
    kernel: Inexact[Array, "*window c_group c_out"],
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    groups: int = 1,
    flip: bool = False,
) -> Inexact[Array, "*out c_out"]:
    """`conv` by Fourier transforms (A 6.3), whatever the environment forces.

    Linear, never circular, for any lengths: the kernel may be as long as the input, or longer where
    it is padded. Arguments, result and errors as of `conv`.
    """
    dtype = jnp.result_type(x, kernel)
    problem = describe(x.shape, kernel.shape, stride, padding, dilation, groups, dtype)
    if flip:
        kernel = jnp.flip(kernel, range(problem.rank))
    merged = x.astype(dtype).reshape(1, *problem.x_shape)
    y = bind("forward", merged, kernel.astype(dtype)[None], problem, FOURIER)
    return y.reshape(*x.shape[: -problem.rank - 1], *problem.y_shape[1:])


def algorithms(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    groups: int = 1,
    dtype: DTypeLike = np.float32,
) -> Candidates:
    """The algorithms that can serve a convolution, first the one `auto` takes; why others cannot.

    **Arguments:**

    - `x_shape`, `kernel_shape`: as `conv` takes them.
    - `stride`, `padding`, `dilation`, `groups`: as `conv` takes them.
    - `dtype`: the promoted type of input and kernel.

    **Returns:** a list of names. Its `refused` says by name why an algorithm cannot serve, its
    `auto` what is chosen for each pass; printed it is a table with costs.

    **Raises:** `ValueError`: arguments that `conv` refuses too.
    """
    return Candidates(describe(x_shape, kernel_shape, stride, padding, dilation, groups, dtype))


@takes_arrays
def conv_transpose(
    y: Inexact[Array, "*out c_y"],
    kernel: Inexact[Array, "*window c_group c_out"],
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    groups: int = 1,
    flip: bool = False,
    shape: Ints | None = None,
    algorithm: str = "auto",
) -> Inexact[Array, "*shape c_x"]:
    """Transposed convolution: the adjoint of `x -> conv(x, kernel, ...)` with the same arguments.

    `<conv(x), y> = <x, conv_transpose(y)>` for real arrays (complex ones are not conjugated), so
    it maps the `c_y` channels that `conv` would give back to the channels that it would take.

    **Arguments:**

    - `y`: `(*batch, *out, c_y)`.
    - `kernel`: `(*kernel_size, c_x / groups, c_y)`, the kernel that `conv` would use.
    - `shape`: spatial shape of the result, one of those that `conv` takes to `y`'s. By default
      `n * stride` for `"SAME"` and `"CAUSAL"`, otherwise the smallest that does.
    - `stride`, `padding`, `dilation`, `groups`, `flip`, `algorithm`: as for `conv`.

    **Returns:** `(*batch, *shape, groups * kernel.shape[-2])`.

    **Raises:** `ValueError`: a bad argument, or a `shape` that `conv` does not take to `y`'s.
    """
    rank = kernel_rank(kernel.shape)
    if y.ndim < rank + 1 or y.shape[-1] != kernel.shape[-1]:
        raise ValueError(
            f"y: expected (*batch, {rank} spatial axes, {kernel.shape[-1]} channels), "
            f"got shape {y.shape}"
        )
    *batch, channels = y.shape[: -rank - 1] + y.shape[-1:]
    window = Window.of(rank, kernel.shape[:rank], stride, padding, dilation)
    spatial = window.spatial(y.shape)
    shape = window.transpose_shape(spatial) if shape is None else to_tuple("shape", shape, rank)
    got = window.output_shape(shape)
    if got != spatial:
        raise ValueError(f"shape: conv takes {shape} to {got}, but y has {spatial}")
    dtype = jnp.result_type(y, kernel)
    if not divides(groups, channels):
        raise ValueError(f"groups: expected a divisor of {channels} channels, got {shown(groups)}")
    x_shape = (*batch, *shape, groups * kernel.shape[-2])
    problem = describe(x_shape, kernel.shape, **window.arguments, groups=groups, dtype=dtype)
    algorithm = check(algorithm, problem)
    if flip:
        kernel = jnp.flip(kernel, range(rank))
    merged = y.astype(dtype).reshape(1, *problem.y_shape)
    x = bind("input_gradient", merged, kernel.astype(dtype)[None], problem, algorithm)
    return x.reshape(x_shape)
