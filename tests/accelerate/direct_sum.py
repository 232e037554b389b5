"""`lax.conv_general_dilated` and both its gradients as one sum, in NumPy and float64."""

import numpy as np


def direct_sum(lhs, rhs, dy=None, **parameters):
    """The result; or, with `dy`, its transposes in `lhs` and `rhs`.

    Arguments and parameters are those of JAX's primitive.
    """
    (n, c, *at), (o, i, *kernel_at), (out_n, out_c, *out_at) = parameters["dimension_numbers"]
    features, batches = parameters["feature_group_count"], parameters["batch_group_count"]
    groups, rank = max(features, batches), len(at)
    lhs = np.asarray(lhs, np.float64).transpose(*at, n, c)
    rhs = np.asarray(rhs, np.float64).transpose(*kernel_at, i, o)
    reads = [
        _reads(size, rhs.shape[a], *(parameters[name][a] for name in _OF_AXES))
        for a, size in enumerate(lhs.shape[:rank])
    ]
    shape = (groups, -1, lhs.shape[-1]) if batches > 1 else (lhs.shape[-2], groups, -1)
    x = lhs.reshape(*lhs.shape[:rank], *shape)
    outs, taps = "xyz"[:rank], "uvw"[:rank]
    of_x = f"{outs}{taps}{'gnc' if batches > 1 else 'ngc'}"  # what every tap reads
    of_kernel, of_y = f"{taps}cgo", f"{outs}ngo"
    for a, read in enumerate(reads):  # (out, .., tap, .., input, ..) of the axes so far
        x = np.moveaxis(np.tensordot(read, x, (2, 2 * a)), (0, 1), (a, 2 * a + 1))
    kernel = rhs.reshape(*rhs.shape[:-1], groups, rhs.shape[-1] // groups)
    back = lambda v, order: v.transpose(np.argsort(order))
    if dy is None:
        y = np.einsum(f"{of_x},{of_kernel}->{of_y}", x, kernel, optimize=True)
        return back(y.reshape(*y.shape[:-2], rhs.shape[-1]), (*out_at, out_n, out_c))
    dy = np.asarray(dy, np.float64).transpose(*out_at, out_n, out_c)
    dy = dy.reshape(*dy.shape[:-1], groups, dy.shape[-1] // groups)
    dkernel = np.einsum(f"{of_x},{of_y}->{of_kernel}", x, dy, optimize=True)
    dx = np.einsum(f"{of_y},{of_kernel}->{of_x}", dy, kernel, optimize=True)
    for a, read in reversed(list(enumerate(reads))):
        dx = np.moveaxis(np.tensordot(read, dx, ((0, 1), (a, 2 * a + 1))), 0, 2 * a)
    return back(dx.reshape(lhs.shape), (*at, n, c)), back(
        dkernel.reshape(rhs.shape), (*kernel_at, i, o)
    )


_OF_AXES = ("window_strides", "padding", "lhs_dilation", "rhs_dilation")


def _reads(size, taps, stride, padding, spread, dilation):
    """`[o, t, i]`: whether output o reads input i through tap t."""
    low, high = padding
    inputs = low + np.arange(size) * spread
    out = (inputs[-1] + high - (taps - 1) * dilation) // stride + 1
    places = np.arange(out)[:, None] * stride + np.arange(taps) * dilation
    return (places[:, :, None] == inputs).astype(float)
