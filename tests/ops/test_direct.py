"""`direct` touches nothing outside a window; causal convolutions see nothing that comes later."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops_reference import normal
from primitive_cases import compiled

from cnnlab import nn, ops
from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import describe
from cnnlab.ops.algorithms import FOURIER, PASSES, REFERENCE, REGISTRY
from cnnlab.ops.choice import VARIABLE, automatic, check, choose, serving

SHAPES = {
    "minimal filtering would": ((2, 12, 12, 64), (3, 3, 64, 64), {}),
    "Fourier transforms would": ((1, 600, 8), (300, 1, 8), {"groups": 8}),
    "few channels a group": ((1, 6, 6, 16), (3, 3, 2, 16), {"groups": 8}),
    "1x1": ((2, 5, 5, 8), (1, 1, 8, 4), {}),
    "volume": ((1, 4, 4, 4, 3), (2, 2, 2, 3, 4), {}),
}
CAUSAL = {
    "long, depthwise": ((2, 150, 4), (70, 1, 4), {"groups": 4}),
    "strided": ((1, 90, 6), (40, 3, 4), {"groups": 2, "stride": 3}),
    "dilated": ((2, 80, 3), (12, 3, 5), {"dilation": 3}),
    "three taps": ((1, 40, 4), (3, 4, 4), {}),
}


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_takes_what_sums_every_result_by_itself(shape, platform):
    x, kernel, options = SHAPES[shape]
    problem = describe(x, kernel, **options)
    for which in PASSES:
        chosen = choose(check("direct", problem), problem, which, platform)
        assert chosen.direct(problem, which, platform)
        assert chosen.rounding <= REGISTRY[REFERENCE].rounding


@pytest.mark.parametrize("shape", SHAPES)
def test_a_nan_touches_only_the_windows_that_hold_it(shape):
    x, kernel, options = SHAPES[shape]
    problem = describe(x, kernel, **options)
    run = lambda x, k: ops.conv(x, k, algorithm="direct", **options)

    @compiled
    def passes(x, k, dy):
        y, pull = jax.vjp(run, x, k)
        return y, *pull(dy)

    arrays = normal(*x, seed=1), normal(*kernel, seed=2), normal(*problem.y_shape, seed=3)
    for which in (0, 2):  # a weight that is NaN is in every window
        some = list(arrays)
        middle = some[which].size // 2 + 1
        some[which] = some[which].reshape(-1).at[middle].set(jnp.nan).reshape(some[which].shape)
        for value, expected in zip(passes(*some), convolution(*some, problem), strict=True):
            np.testing.assert_array_equal(np.isnan(value), np.isnan(expected))


def test_can_be_asked_for_everywhere(monkeypatch):
    assert "direct" in ops.ALGORITHMS
    for make in (nn.Conv2d, nn.ConvTranspose2d):
        layer = make(3, 4, 3, algorithm="direct", key=jax.random.key(0))
        assert np.isfinite(layer(jnp.ones((1, 5, 5, 3)))).all()
    problem = describe((2, 300, 8), (100, 1, 8), groups=8)
    monkeypatch.setenv(VARIABLE, "direct")
    assert check(FOURIER, problem) == "direct"
    listed = str(ops.algorithms((2, 300, 8), (100, 1, 8), groups=8))
    assert all(REGISTRY[name].errors in listed for name in (FOURIER, REFERENCE))
    name = automatic(problem, "forward", "cpu", only_direct=True)
    assert [line for line in listed.splitlines() if line.startswith(name) and "<- direct" in line]


@pytest.mark.parametrize("case", CAUSAL)
def test_causal_to_the_bit(case):
    x, kernel, options = CAUSAL[case]
    options = {"padding": "CAUSAL", **options}
    problem = describe(x, kernel, **options)
    arrays = normal(*x, seed=1), normal(*kernel, seed=2), normal(*problem.y_shape, seed=3)
    expected = convolution(*arrays, problem)
    now = x[1] // 2
    before = (now - 1) // problem.stride[0] + 1
    # Of those that mix times the ones for any machine; the second by Fourier transforms runs the
    # first one's program.
    mixing = [n for n in serving(problem) if not REGISTRY[n].direct(problem, "forward", "cpu")]
    names = [n for n in mixing if n == FOURIER or not REGISTRY[n].fourier or case == "dilated"]
    for name in ["auto", *(n for n in names if REGISTRY[n].portable)]:
        run = lambda x, k, name=name: ops.conv(x, k, algorithm=name, **options)

        @compiled
        def everything(x, k, dy, run=run):
            y, pull = jax.vjp(run, x, k)
            last = lambda x: run(x, k)[0, before - 1].sum()
            one = jnp.zeros_like(x).at[0, now].set(1)
            return (
                (y, *pull(dy)),
                run(x.at[:, now:].multiply(1e6), k),
                jax.grad(last)(x),
                run(one, k),
            )

        passes, louder, gradient, later = everything(*arrays)
        for value, wanted in zip(passes, expected, strict=True):
            assert relative_error(value, wanted) < 1e-5
        np.testing.assert_array_equal(louder[:, :before], passes[0][:, :before], name)
        assert not gradient[:, now:].any() and gradient[:, :now].any(), name
        assert not later[:, :before].any() and later.any(), name


WINDOW = describe((1, 7, 6, 2), (3, 3, 2, 2), padding=((2, 1), (0, 3)))
MIXING = [n for n in serving(WINDOW) if not REGISTRY[n].direct(WINDOW, "forward", "cpu")]


@pytest.mark.parametrize("name", MIXING)
def test_derivatives_outside_the_window_are_zero(name):
    options = {"padding": WINDOW.padding, "algorithm": name}
    kernel = normal(3, 3, 2, 2, seed=2)
    f = lambda x: ops.conv(x[None], kernel, **options)[0, :, :, 0]
    x = normal(7, 6, 2)
    exact = lambda x: ops.conv(x[None], kernel, padding=WINDOW.padding, algorithm=REFERENCE)
    zeros = np.asarray(jax.jacrev(lambda x: exact(x)[0, :, :, 0])(x)) == 0
    for jacobian in (jax.jacrev(f)(x), jax.jacfwd(f)(x)):
        np.testing.assert_array_equal(np.asarray(jacobian) == 0, zeros)
