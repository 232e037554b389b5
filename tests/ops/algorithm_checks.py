"""What every algorithm must do: the checks that the tests apply to each that is registered."""

import jax
import jax.numpy as jnp
import numpy as np
from primitive_cases import (
    arrays,
    compiled,
    looped,
    mapped,
    mapped_arrays,
    plain,
    serves,
    tolerance,
)

from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES, REFERENCE, REGISTRY, describe

# What these small sums leave of what an algorithm may err by: of a transform, whose errors are of
# the whole map, less, as the largest results are of that size.
SHARE, FOURIERS_SHARE = 0.2, 0.02

# Axes of x, kernel and dy that each vmap maps, outermost first. Where all are mapped inside, the
# others meet convolutions that are side by side already.
LEVELS = {
    "x outside, all inside": [(2, None, None), (0, 1, 2)],
    "kernel outside, all inside": [(None, 1, None), (1, -1, 0)],
}
MORE = {
    "dy outside, all inside": [(None, None, -1), (-1, 0, 1)],
    "x": [(2, None, None)],
    "kernel": [(None, 1, None)],
    "x and dy": [(1, None, 2)],
    "kernel outside, x inside": [(None, -1, None), (3, None, None)],
    "all outside, kernel inside": [(-1, 0, 2), (None, 1, None)],
    "all twice": [(0, 2, 1), (2, -1, 0)],
}


def passes(name, problems, values):
    """All passes of all problems by one algorithm, in one program."""

    @compiled
    def everything(values):
        results = []
        for problem, (x, kernel, dy) in zip(problems, values, strict=True):
            operands = {
                "forward": (x, kernel),
                "input_gradient": (dy, kernel),
                "kernel_gradient": (x, dy),
            }
            compute = REGISTRY[name].compute
            results.append([compute(which, *pair, problem) for which, pair in operands.items()])
        return results

    return jax.device_get(everything(values))


def are_exact(name, problems, limit=None):
    """They are what a float64 loop over the taps gives."""
    problems = list(problems)
    assert problems, f"{name} serves none of them"
    assert [REGISTRY[name].refusal(p) for p in problems] == [None] * len(problems)
    values = [arrays(p, seed=i) for i, p in enumerate(problems)]
    share = FOURIERS_SHARE if REGISTRY[name].fourier else SHARE
    limit = limit or share * REGISTRY[name].tolerance(np.float32)
    for problem, value, result in zip(
        problems, values, passes(name, problems, values), strict=True
    ):
        for which, got, expected in zip(PASSES, result, convolution(*value, problem), strict=True):
            assert got.shape == expected.shape and got.dtype == problem.dtype
            assert relative_error(got, expected) <= limit, f"{name} {which} {problem}"


def vmap_is_a_loop(small):
    """Of the convolution and both gradients, over every operand and any axis."""
    p = small.problem
    shapes = p.x_shape, p.kernel_shape, p.y_shape
    cases = LEVELS | (MORE if small.name == REFERENCE else {})  # the rule is one for all algorithms
    values = {label: mapped_arrays(shapes, levels) for label, levels in cases.items()}

    @compiled
    def run(values):
        return {label: mapped(small.passes, cases[label])(*v) for label, v in values.items()}

    results, once = run(values), compiled(small.passes)
    for label, result in results.items():
        expected = looped(once, cases[label], values[label])
        for which, a, b in zip(PASSES, result, expected, strict=True):
            np.testing.assert_allclose(a, b, **tolerance(small.name), err_msg=f"{label}: {which}")


def derivatives_are_plain(small):
    """First derivatives forward and reverse, and the Hessian-vector product in three orders."""
    x, kernel, dy = arrays(small.problem)
    dx, dk, _ = arrays(small.problem, seed=1)
    point, along = (x, kernel), (dx, dk)

    def everything(f):
        loss = lambda x, k: jnp.sum(jnp.sin(f(x, k)) * dy)
        gradient = jax.grad(loss, (0, 1))
        slope = lambda x, k: jax.jvp(loss, (x, k), along)[1]
        return {
            "jvp": jax.jvp(f, point, along),
            "jvp of one argument": jax.jvp(lambda k: f(x, k), (kernel,), (dk,)),
            "grad": gradient(*point),
            "forward over reverse": jax.jvp(gradient, point, along),
            "reverse over forward": jax.grad(slope, (0, 1))(*point),
            "reverse over reverse": jax.vjp(gradient, *point)[1](along),
            "transpose in x": jax.linear_transpose(lambda x: f(x, kernel), x)(dy),
            "transpose in kernel": jax.linear_transpose(lambda k: f(x, k), kernel)(dy),
        }

    ours, theirs = compiled(lambda: (everything(small.call), everything(plain(small.problem))))()
    largest = {label: max(abs(v).max() for v in jax.tree.leaves(t)) for label, t in theirs.items()}
    limit = tolerance(small.name)["rtol"]
    for label, expected in theirs.items():
        assert largest[label] > 1
        for a, b in zip(jax.tree.leaves(ours[label]), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a / largest[label], b / largest[label], atol=limit, rtol=0)


def hessian_is_plain(small):
    """`jax.hessian`, which maps and differentiates at once, in float64 where it is served."""
    dtype, limit = (np.float64, 1e-10) if serves(small, float) else (np.float32, 2e-5)
    with jax.enable_x64(True):
        groups = small.problem.groups
        p = small.at((3, 2, 1)[: small.rank], 1, (groups, groups), dtype)
        x, kernel, dy = arrays(p)
        loss = lambda f: lambda x, k: jnp.sum(jnp.sin(f(x, k)) * dy)
        hessians = lambda x, k: [jax.hessian(loss(f), (0, 1))(x, k) for f in (small.call, plain(p))]
        ours, theirs = jax.device_get(compiled(hessians)(x, kernel))
    assert max(abs(b).max() for b in jax.tree.leaves(theirs)) > 0.1
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=limit, atol=limit)


# (input, kernel, stride, dilation, padding) along one axis: what the phases of a transpose meet.
AXES = {
    "stride longer than the kernel": (9, 2, 3, 1, (0, 0)),
    "stride longer than the input": (2, 3, 5, 1, (1, 1)),
    "inputs after the last window": (11, 2, 4, 1, (0, 0)),
    "padding wider than the kernel": (4, 2, 2, 1, (5, 3)),
    "all of it before": (6, 3, 2, 1, (7, 0)),
    "all of it after": (6, 3, 2, 1, (0, 7)),
    "windows that see padding only": (3, 2, 1, 1, (4, 4)),
    "kernel longer than the input": (3, 7, 2, 1, (3, 4)),
    "dilated": (9, 3, 1, 3, (2, 1)),
    "dilated and strided": (11, 3, 2, 3, (2, 4)),
    "dilated and strided, inputs left over": (12, 2, 3, 2, (0, 0)),
    "even kernel": (7, 4, 3, 1, (1, 2)),
    "one position": (1, 1, 1, 1, (0, 0)),
}


def along(axes, channels, groups):
    """A problem with these axes."""
    spatial, kernel, stride, dilation, padding = zip(*axes, strict=True)
    shapes = (2, *spatial, channels[0]), (*kernel, channels[0] // groups, channels[1])
    geometry = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    return describe(*shapes, **geometry)
