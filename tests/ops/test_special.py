"""NaN and infinities: where they come from, every result that they are a factor of has them."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from ops_reference import normal
from primitive_cases import compiled

from cnnlab import nn, ops
from cnnlab.bench.reference import convolution
from cnnlab.ops import PASSES, REFERENCE, REGISTRY, describe

SPECIAL = {"NaN": jnp.nan, "inf": jnp.inf, "-inf": -jnp.inf}
# Padding beside which an infinite weight is NaN, groups, gaps; oneDNN's code and loops of our own.
CASES = {
    "uneven": ((2, 6, 5, 8), (3, 3, 8, 16), {"padding": ((0, 2), (2, 1))}),
    "strided": ((1, 7, 6, 3), (3, 2, 3, 8), {"stride": 2, "padding": 1}),
    "groups": ((1, 5, 4, 16), (3, 3, 8, 16), {"groups": 2}),
    "depthwise": ((1, 8, 9, 8), (7, 7, 1, 8), {"groups": 8, "padding": ((3, 3), (4, 2))}),
    "a map of one pixel": ((1, 1, 1, 8), (3, 3, 8, 8), {}),
}


def pattern(a):
    """0 where a number is finite, and which of the three it is elsewhere."""
    a = np.asarray(a, np.float64)
    return np.isnan(a) + 2 * np.isposinf(a) + 3 * np.isneginf(a)


def poisoned(arrays):
    """`(which array, what, the arrays)`, one entry of one array replaced: a corner, the middle."""
    for which, (name, value) in itertools.product(range(len(arrays)), SPECIAL.items()):
        for at in (0, arrays[which].size // 2):
            some = list(arrays)
            some[which] = some[which].reshape(-1).at[at].set(value).reshape(some[which].shape)
            yield which, f"{name} in array {which} at {at}", some


def passes(name, options):
    def run(x, kernel, dy):
        y, pull = jax.vjp(lambda x, k: ops.conv(x, k, algorithm=name, **options), x, kernel)
        return y, *pull(dy)

    return compiled(run)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("case", CASES)
def test_of_the_defining_sum(case):
    x, kernel, options = CASES[case]
    problem = describe(x, kernel, **options)
    # They follow the defining sum to the letter; XLA's own leaves out some of the padding's zeros.
    names = [
        n
        for n in ops.algorithms(x, kernel, **options)
        if n != REFERENCE and all(REGISTRY[n].direct(problem, one, "cpu") for one in PASSES)
    ]
    names = names[:1] if problem.taps > 9 else names  # or they take long to compile
    runs = {name: passes(name, options) for name in names}
    arrays = normal(*x, seed=1), normal(*kernel, seed=2), normal(*problem.y_shape, seed=3)
    for which, what, some in poisoned(arrays):
        expected = [pattern(v) for v in convolution(*some, problem)]
        for name, run in runs.items():
            for one, value, wanted in zip(PASSES, run(*some), expected, strict=True):
                got = pattern(value)
                if one == "input_gradient" and which == 1:
                    # Zeros around the cotangent may meet the weight too: more NaN, none less.
                    got = np.where(wanted == 0, 0, got)
                np.testing.assert_array_equal(got, wanted, f"{name}, {one}, {what}")


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("case", "activation", "dtype"),
    [
        ("uneven", "relu", jnp.float32),
        ("uneven", "relu", jnp.bfloat16),
        ("uneven", "gelu", jnp.float32),
        ("depthwise", "relu", jnp.float32),
        ("depthwise", None, jnp.bfloat16),
    ],
)
def test_through_bias_and_activation(case, activation, dtype):
    """Values, and for ReLU gradients: as if one after the other in NumPy's float64."""
    x, kernel, options = CASES[case]
    problem = describe(x, kernel, **options)
    arrays = normal(*x, seed=1), normal(*kernel, seed=2), normal(kernel[-1], seed=3)
    dy = normal(*problem.y_shape, seed=4)

    @compiled
    def run(x, kernel, bias, dy):
        call = lambda *v: ops.conv(*v[:2], bias=v[2], activation=activation, **options)
        y, pull = jax.vjp(call, *(v.astype(dtype) for v in (x, kernel, bias)))
        return y, *pull(dy.astype(dtype))

    after = {None: lambda y: y, "relu": jax.nn.relu, "gelu": jax.nn.gelu}[activation]
    for which, what, some in poisoned(arrays):
        before = convolution(*some[:2], dy, problem)[0] + np.asarray(some[2])
        y, dx, dk, db = run(*some, dy)
        np.testing.assert_array_equal(pattern(y), pattern(after(before)), what)
        if activation != "relu":
            continue
        through = np.where(before > 0, dy, 0)  # as jax.nn.relu: nothing passes a NaN
        _, wanted_dx, wanted_dk = convolution(*some[:2], through, problem)
        np.testing.assert_array_equal(pattern(dk), pattern(wanted_dk), what)
        np.testing.assert_array_equal(pattern(db), 0, what)
        if which != 1:
            np.testing.assert_array_equal(pattern(dx), pattern(wanted_dx), what)


def test_sums_of_finite_numbers_that_overflow():
    """The engine's ReLU may trust that finite arguments give a number only where they must."""
    x = jnp.full((1, 4, 4, 8), 3e38).at[..., 1].set(-3e38)
    y = ops.conv(x, jnp.full((3, 3, 8, 8), 2.0), bias=jnp.zeros(8), activation="relu")
    assert not np.isfinite(y).any()
    large = jnp.full((1, 4, 4, 8), 1e19)
    y = ops.conv(large, jnp.full((1, 1, 8, 8), 3e18), bias=jnp.zeros(8), activation="relu")
    np.testing.assert_allclose(y, 2.4e38, rtol=1e-5)


def test_a_network_without_normalisation_answers_nan_with_nan():
    key = jr.key(0)
    conv = lambda i, o, *, kernel_size, key: nn.Conv2d(i, o, kernel_size, key=key)
    block, state = eqx.nn.make_with_state(nn.ConvBlock)((8, 8, 3), [8, 8], conv=conv, key=key)
    pool, linear = nn.GlobalPool("avg", 2), nn.Linear(8, 5, key=key)
    logits = lambda x: linear(pool(block(x, state)[0]))
    x = jnp.stack([jnp.full((8, 8, 3), v) for v in (*SPECIAL.values(), 0.5)])
    y = compiled(logits)(x)
    assert not np.isfinite(y[:3]).any() and np.isfinite(y[3]).all()
