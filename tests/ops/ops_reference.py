"""Plain NumPy loops written from the chapters' formulas, and random problems to compare on."""

import itertools
from dataclasses import dataclass

import jax
import numpy as np
from hypothesis import Phase, settings
from hypothesis import strategies as st


def few(examples):
    """Settings for tests that compile anew for every example: not many, and no search for the
    smallest failing one, which takes minutes."""
    return settings(max_examples=examples, phases=(Phase.explicit, Phase.generate))


def normal(*shape, seed=0, dtype=np.float32):
    """Normal numbers without a compilation for every shape; another seed, other numbers."""
    return jax.device_put(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


@dataclass(frozen=True)
class Case:
    """A convolution: shapes and options, and the padding in explicit pairs for the loops."""

    batch: int
    spatial: tuple
    kernel: tuple
    channels: tuple  # c_in, c_out
    stride: tuple
    dilation: tuple
    groups: int
    padding: object  # as given to the function under test
    pads: tuple  # what it means
    seed: int

    @property
    def options(self):
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    @property
    def loops(self):
        return {**self.options, "padding": self.pads}

    def arrays(self, dtype=np.float32):
        rng = np.random.default_rng(self.seed)
        c_in, c_out = self.channels
        x = rng.standard_normal((self.batch, *self.spatial, c_in))
        kernel = rng.standard_normal((*self.kernel, c_in // self.groups, c_out))
        return x.astype(dtype), kernel.astype(dtype)


def same_pads(n, k, stride, dilation):
    """Zeros so that there are ceil(n / stride) windows, the odd one at the end."""
    extent = (k - 1) * dilation + 1
    windows = (n + stride - 1) // stride
    total = max(0, (windows - 1) * stride + extent - n)
    return (total // 2, total - total // 2)


@st.composite
def cases(draw, max_rank=3, groups=True):
    rank = draw(st.integers(1, max_rank))
    size = st.integers(1, 6 if rank < 3 else 4)

    def per_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    spatial = tuple(draw(size) for _ in range(rank))
    kernel = per_axis(1, 4 if rank < 3 else 3)
    stride, dilation = per_axis(1, 3), per_axis(1, 2)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    kinds = ["SAME", "int", "pairs", "VALID"] + ["CAUSAL"] * (rank == 1)
    kind = draw(st.sampled_from(kinds))
    fits = all(e <= n for e, n in zip(extents, spatial, strict=True))
    if kind == "VALID" and not fits:
        kind = "pairs"
    if kind == "SAME":
        sizes = zip(spatial, kernel, stride, dilation, strict=True)
        padding, pads = kind, tuple(same_pads(*s) for s in sizes)
    elif kind == "CAUSAL":
        padding, pads = kind, ((extents[0] - 1, 0),)
    elif kind == "VALID":
        padding, pads = kind, ((0, 0),) * rank
    elif kind == "int":
        least = max(max(0, -(-(e - n) // 2)) for e, n in zip(extents, spatial, strict=True))
        padding = draw(st.integers(least, least + 2))
        pads = ((padding, padding),) * rank
    else:
        low = per_axis(0, 3)
        least = [max(0, e - n - p) for e, n, p in zip(extents, spatial, low, strict=True)]
        pads = tuple((p, draw(st.integers(m, m + 2))) for p, m in zip(low, least, strict=True))
        padding = pads
    g = draw(st.integers(1, 3)) if groups else 1
    channels = (g * draw(st.integers(1, 2)), g * draw(st.integers(1, 2)))
    batch, seed = draw(st.integers(1, 2)), draw(st.integers(0, 999))
    return Case(batch, spatial, kernel, channels, stride, dilation, g, padding, pads, seed)


def pad_zeros(x, pads):
    return np.pad(x, [(0, 0), *pads, (0, 0)])


def windows(spatial, kernel, stride, padding, dilation):
    """Number of windows per axis: B eq. 10.7, counting instead of dividing."""
    out = []
    for n, k, s, (low, high), d in zip(spatial, kernel, stride, padding, dilation, strict=True):
        starts = range(0, n + low + high, s)
        out.append(sum(start + (k - 1) * d < n + low + high for start in starts))
    return tuple(out)


def reads(shape, kernel, stride, dilation):
    """(output position, tap, position read in the padded input) for every window and tap."""
    for position in np.ndindex(*shape):
        for tap in itertools.product(*(range(k) for k in kernel)):
            zipped = zip(position, stride, tap, dilation, strict=True)
            yield position, tap, tuple(p * s + t * d for p, s, t, d in zipped)


def conv(x, kernel, *, stride, padding, dilation, groups):
    """B eq. 10.8 with dilation and groups (A 5.2): x (b, *spatial, c)."""
    *size, group_in, c_out = kernel.shape
    out = windows(x.shape[1:-1], size, stride, padding, dilation)
    xp = pad_zeros(x, padding)
    group_out = c_out // groups
    y = np.zeros((x.shape[0], *out, c_out), np.result_type(x, kernel))
    for position, tap, read in reads(out, size, stride, dilation):
        for m in range(c_out):
            first = (m // group_out) * group_in
            for c in range(group_in):
                y[(slice(None), *position, m)] += (
                    xp[(slice(None), *read, first + c)] * kernel[(*tap, c, m)]
                )
    return y


def conv_vjp(x, kernel, dy, *, stride, padding, dilation, groups):
    """Gradients of sum(conv(x, kernel) * dy): the same loops, read the other way."""
    *size, group_in, c_out = kernel.shape
    xp = pad_zeros(x, padding)
    dxp, dk = np.zeros_like(xp), np.zeros_like(kernel)
    group_out = c_out // groups
    for position, tap, read in reads(dy.shape[1:-1], size, stride, dilation):
        for m in range(c_out):
            first = (m // group_out) * group_in
            for c in range(group_in):
                here = dy[(slice(None), *position, m)]
                dxp[(slice(None), *read, first + c)] += here * kernel[(*tap, c, m)]
                dk[(*tap, c, m)] += np.sum(here * xp[(slice(None), *read, first + c)])
    inside = [slice(low, low + n) for n, (low, _) in zip(x.shape[1:-1], padding, strict=True)]
    return dxp[(slice(None), *inside)], dk


def unfold(x, size, *, stride, padding, dilation):
    """vect(P) of every window, A 2.2 and A 2.4: x (b, *spatial, c)."""
    out = windows(x.shape[1:-1], size, stride, padding, dilation)
    xp = pad_zeros(x, padding)
    columns = np.zeros((x.shape[0], *out, *size, x.shape[-1]), x.dtype)
    for position, tap, read in reads(out, size, stride, dilation):
        columns[(slice(None), *position, *tap)] = xp[(slice(None), *read)]
    return columns.reshape(x.shape[0], *out, -1)


def pool(x, size, *, stride, padding, reduction):
    """B eq. 10.9 (max) or the mean of the entries that are inside: x (b, *spatial, c)."""
    ones = (1,) * len(size)
    out = windows(x.shape[1:-1], size, stride, padding, ones)
    xp = np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=np.nan)
    y = np.zeros((x.shape[0], *out, x.shape[-1]), x.dtype)
    for position in np.ndindex(*out):
        starts = [p * s for p, s in zip(position, stride, strict=True)]
        window = tuple(slice(a, a + k) for a, k in zip(starts, size, strict=True))
        axes = tuple(range(1, 1 + len(size)))
        y[(slice(None), *position)] = reduction(xp[(slice(None), *window)], axis=axes)
    return y
