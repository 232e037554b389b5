"""`lax.conv_general_dilated` and both its gradients as sums over taps, in NumPy and float64."""

import numpy as np


def direct_sum(lhs, rhs, dy=None, **parameters):
    """The result; or, with `dy`, its transposes in `lhs` and `rhs`.

    Arguments and parameters are those of JAX's primitive.
    """
    (n, c, *at), (o, i, *kernel_at), (out_n, out_c, *out_at) = parameters["dimension_numbers"]
    features, batches = parameters["feature_group_count"], parameters["batch_group_count"]
    groups = max(features, batches)
    lhs = np.asarray(lhs, np.float64).transpose(n, *at, c)
    rhs = np.asarray(rhs, np.float64).transpose(*kernel_at, i, o)
    kernel = rhs.reshape(*rhs.shape[:-1], groups, -1)
    # One axis after another: the dilated and padded input, and what a tap sees of it.
    places, seen = [], []
    for axis, size in enumerate(lhs.shape[1:-1]):
        low, high = parameters["padding"][axis]
        step, dilation = parameters["window_strides"][axis], parameters["rhs_dilation"][axis]
        places.append(low + np.arange(size) * parameters["lhs_dilation"][axis])
        whole = places[-1][-1] + 1 + high
        out = (whole - (rhs.shape[axis] - 1) * dilation - 1) // step + 1
        seen.append(np.arange(out)[:, None] * step + np.arange(rhs.shape[axis]) * dilation)
    # reads[axis][o, t, i]: whether output o sees input i through tap t.
    reads = [(s[:, :, None] == p).astype(float) for s, p in zip(seen, places, strict=True)]
    of_groups = (groups, -1, *lhs.shape[1:]) if batches > 1 else (*lhs.shape[:-1], groups, -1)
    x = lhs.reshape(of_groups)
    spatial = range(len(at))
    letters = [("xyz"[a], "uvw"[a], "ijk"[a]) for a in spatial]  # output, tap, input
    inputs = "".join(i for *_, i in letters)
    of_x = f"gn{inputs}c" if batches > 1 else f"n{inputs}gc"
    of_kernel = f"{''.join(t for _, t, _ in letters)}cgo"
    of_y = f"n{''.join(o for o, *_ in letters)}go"
    of_reads = ["".join(names) for names in letters]
    einsum = lambda operands, result, *v: np.einsum(
        f"{','.join(operands)}->{result}", *v, optimize=True
    )
    back = lambda v, order: v.transpose(np.argsort(order))
    if dy is None:
        y = einsum([*of_reads, of_x, of_kernel], of_y, *reads, x, kernel)
        return back(y.reshape(*y.shape[:-2], rhs.shape[-1]), (out_n, *out_at, out_c))
    dy = np.asarray(dy, np.float64).transpose(out_n, *out_at, out_c)
    dy = dy.reshape(*dy.shape[:-1], groups, dy.shape[-1] // groups)
    dx = einsum([*of_reads, of_y, of_kernel], of_x, *reads, dy, kernel)
    dkernel = einsum([*of_reads, of_x, of_y], of_kernel, *reads, x, dy)
    return back(dx.reshape(lhs.shape), (n, *at, c)), back(
        dkernel.reshape(rhs.shape), (*kernel_at, i, o)
    )
