"""How JAX's operations carry dependence from their operands to their results."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cnnlab import ops
from cnnlab.models.reach.entries import Reach, joined

Rule = Callable[..., Reach]

# Entry by entry.
_NAMES = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil
    clamp complex conj convert_element_type copy copy_p copysign cos cosh digamma div eq erf erf_inv
    erfc exp exp2 expm1 floor ge gt igamma igammac imag integer_pow is_finite le lgamma log log1p
    logistic lt max min mul name ne neg nextafter not or population_count pow
    pvary real reduce_precision regularized_incomplete_beta rem round rsqrt select_n
    shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient
    sub tan tanh xor
"""
_ELEMENTWISE = frozenset(_NAMES.split())


def rule(name: str) -> Rule | None:
    """`(operands, shape of the result, **parameters) -> its reach` of an operation, or None."""
    if name in _ELEMENTWISE:
        return lambda ins, shape, /, **_: joined([_as(r, shape) for r in ins], name)
    if name.startswith(("reduce_window_", "cum")):
        name = name[:-4] if name.startswith("reduce") else "cum"
    return _RULES.get(name)


def _as(value: Reach, shape: tuple[int, ...]) -> Reach:
    """Axes of size 1 and scalars may stand for any size."""
    return value.broadcast(shape, range(len(shape) - len(value.axes), len(shape)))


def _sum(ins, shape, /, *, axes, **_):
    return ins[0].without(axes)


def _broadcast(ins, shape, /, *, broadcast_dimensions, **_):
    return ins[0].broadcast(shape, broadcast_dimensions)


def _reshape(ins, shape, /, *, dimensions=None, **_):
    return ins[0].lost(shape, "reshape") if dimensions else ins[0].reshaped(shape)


def _transpose(ins, shape, /, *, permutation, **_):
    return ins[0].permuted(permutation)


def _squeeze(ins, shape, /, *, dimensions, **_):
    return ins[0].without(dimensions)


def _reverse(ins, shape, /, *, dimensions, **_):
    found = ins[0]
    for axis in dimensions:
        found = found.reversed(axis)
    return found


def _slice(ins, shape, /, *, start_indices, strides, **_):
    found = ins[0]
    for axis, start in enumerate(start_indices):
        step = strides[axis] if strides else 1
        found = found.window(axis, shape[axis], stride=step, low=-start)
    return found


def _pad(ins, shape, /, *, padding_config, **_):
    found, filling = ins
    for axis, (low, _, inside) in enumerate(padding_config):
        if inside:
            return found.lost(shape, "pad")
        found = found.window(axis, shape[axis], low=low)
    return found if filling.free else found.lost(shape, "pad")


def _split(ins, shape, /, *, index, sizes, axis, **_):
    return ins[0].window(axis, shape[axis], low=-sum(sizes[:index]))


def _concatenate(ins, shape, /, *, dimension, **_):
    placed, at = [], 0
    for part in ins:
        placed.append(part.window(dimension, shape[dimension], low=at))
        at += part.shape[dimension]
    return joined(placed, "concatenate")


def _cumulative(ins, shape, /, *, axis, **_):
    return ins[0].mixed(axis)


def _sort(ins, shape, /, *, dimension, **_):
    return joined(ins, "sort").mixed(dimension)


def _fft(ins, shape, /, *, fft_lengths, **_):
    found = ins[0]
    for axis in range(len(shape) - len(fft_lengths), len(shape)):
        found = found.mixed(axis)
        found = found.window(axis, shape[axis])  # of real numbers about half are given
    return found


def _dot(ins, shape, /, *, dimension_numbers, **_):
    (contracted, batch) = dimension_numbers
    parts = []
    rank = len(batch[0])
    free = [
        [i for i in range(len(r.axes)) if i not in (*contracted[side], *batch[side])]
        for side, r in enumerate(ins)
    ]
    starts = (rank, rank + len(free[0]))
    for side, r in enumerate(ins):
        for axis in contracted[side]:
            r = r.mixed(axis)
        own = r.permuted([*batch[side], *free[side]])
        places = [*range(rank), *(starts[side] + i for i in range(len(free[side])))]
        parts.append(own.broadcast(shape, places))
    return joined(parts, "dot_general")


def _gather(ins, shape, /, *, dimension_numbers, **_):
    table, indices = ins
    if not table.free:
        return joined_unknown(ins, shape, "gather")
    places = [i for i in range(len(shape)) if i not in dimension_numbers.offset_dims]
    return indices.without([len(indices.axes) - 1]).broadcast(shape, places)


def _windows(ins, shape, /, *, window_dimensions, window_strides, window_dilation, base_dilation,
             padding, **_):  # fmt: skip
    if set(base_dilation) != {1}:
        return ins[0].lost(shape, "reduce_window")
    window = ops.Window(window_dimensions, window_strides, padding, window_dilation)
    return slid(ins[0], shape, range(len(shape)), window)


def _conv_general(ins, shape, /, *, dimension_numbers, window_strides, padding, lhs_dilation,
                  rhs_dilation, batch_group_count, **_):  # fmt: skip
    (x, kernel), (lhs, rhs, out) = ins, dimension_numbers
    if set(lhs_dilation) - {1} or batch_group_count != 1 or not kernel.free:
        return joined_unknown(ins, shape, "conv_general_dilated")
    sizes = tuple(kernel.shape[axis] for axis in rhs[2:])
    window = ops.Window(sizes, window_strides, padding, rhs_dilation)
    x = x.permuted(lhs).mixed(1)
    ordered = [shape[axis] for axis in out]
    x = slid(x, ordered, range(2, len(out)), window)
    x = x.window(1, ordered[1])
    return x.permuted([out.index(axis) for axis in range(len(out))])


def _conv(ins, shape, /, *, problem, **_):
    x, *others = ins
    if not all(r.free for r in others):
        return joined_unknown(ins, shape, "conv")
    return _through(x, shape, problem.window)


def _through(x: Reach, shape: Sequence[int], window: ops.Window) -> Reach:
    """A window over the axes before the channels, which it mixes."""
    last = len(shape) - 1
    x = slid(x, shape, range(last - window.rank, last), window)
    return x.mixed(last).window(last, shape[last])


def _conv_transposed(ins, shape, /, *, problem, **_):
    if set(problem.stride) != {1} or not ins[1].free:
        return joined_unknown(ins, shape, "conv_transpose")
    # Output i of the transpose is what the windows at i + low - t * dilation hold at their tap t.
    sides = zip(problem.window.extent, problem.padding, strict=True)
    pads = tuple((extent - 1 - low, 0) for extent, (low, _) in sides)
    return _through(ins[0], shape, replace(problem.window, padding=pads))


def _max_pool(ins, shape, /, *, window, **_):
    return slid(ins[0], shape, range(1, len(shape) - 1), window)


def slid(x: Reach, shape: Sequence[int], axes: Sequence[int], window: ops.Window) -> Reach:
    """A window over several axes, to those of `shape`; its padding is one pair an axis."""
    zipped = zip(axes, window.size, window.stride, window.dilation, window.pads, strict=True)
    for axis, size, stride, dilation, (low, _) in zipped:
        x = x.window(axis, shape[axis], size=size, stride=stride, dilation=dilation, low=low)
    return x


def joined_unknown(ins: Sequence[Reach], shape: Sequence[int], operation: str) -> Reach:
    """Something that depends on the operands in a way that is not followed."""
    return joined([r.lost(shape, operation) for r in ins], operation)


_RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "conv": _conv,
    "conv_bias": _conv,
    "conv_general_dilated": _conv_general,
    "conv_input_gradient": _conv_transposed,
    "cum": _cumulative,
    "dot_general": _dot,
    "fft": _fft,
    "gather": _gather,
    "max_pool": _max_pool,
    "optimization_barrier": lambda ins, shape, /, *, index, **_: ins[index],
    "pad": _pad,
    "reduce_window": _windows,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice,
    "sort": _sort,
    "split": _split,
    "squeeze": _squeeze,
    "transpose": _transpose,
    **dict.fromkeys(
        ("argmax", "argmin", "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_prod",
         "reduce_sum", "reduce_xor"), _sum,
    ),
}  # fmt: skip
