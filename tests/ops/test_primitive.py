"""The three primitives under JAX's transformations, for every algorithm and rank."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithm_checks import derivatives_are_plain, hessian_is_plain, vmap_is_a_loop
from primitive_cases import (
    NAMES,
    Small,
    arrays,
    compiled,
    primitives,
    served,
    tolerance,
)

from cnnlab import ops
from cnnlab.ops import REFERENCE, describe, primitive

SERVED = served()
# Of single channels.
HESSIANS = [
    s for s in SERVED if s.algorithm.domain.lanes == 1 and (s.rank == 1 or s.name == REFERENCE)
]


# The rules are the same for all algorithms and ranks; that each computes right in every rank it
# serves is tested in `test_algorithms.py`.
IMAGES = {small.name for small in SERVED if small.rank == 2}
ONE_RANK = [s for s in SERVED if s.rank == 2 or s.name == REFERENCE or s.name not in IMAGES]


@pytest.mark.parametrize("small", ONE_RANK, ids=str)
def test_vmap(small):
    vmap_is_a_loop(small)


@pytest.mark.parametrize("small", ONE_RANK, ids=str)
def test_derivatives(small):
    derivatives_are_plain(small)


def test_no_algorithm_is_left_out():
    assert {small.name for small in ONE_RANK} == {small.name for small in SERVED}


@pytest.mark.parametrize("small", HESSIANS, ids=str)
def test_hessian(small):
    hessian_is_plain(small)


@pytest.mark.parametrize("name", NAMES)
def test_control_flow_and_checkpoint(name):
    """Gradients through remat and scan, and values through while_loop."""
    small = Small(name, 1)
    p = small.problem
    x, kernel, dy = arrays(p)
    several = jnp.stack([x, x + 1, x - 1])

    def value(x, kernel):
        return jnp.sum(jnp.sin(small.call(x, kernel)) * dy)

    def scanned(several, kernel):
        return jax.lax.scan(lambda s, x: (s + value(x, kernel), None), 0.0, several)[0]

    def looped_while(several, kernel, count):
        body = lambda c: (c[0] + 1, c[1] + value(several[c[0]], kernel))
        return jax.lax.while_loop(lambda c: c[0] < count, body, (0, 0.0))[1]

    @compiled
    def run(several, kernel, count):
        x = several[0]
        remat = jax.checkpoint(value, policy=jax.checkpoint_policies.nothing_saveable)
        return (
            (jax.grad(value, (0, 1))(x, kernel), jax.grad(remat, (0, 1))(x, kernel)),
            (
                jax.grad(lambda k: sum(value(x, k) for x in several))(kernel),
                jax.grad(lambda k: scanned(several, k))(kernel),
            ),
            (sum(value(x, kernel) for x in several), looped_while(several, kernel, count)),
        )

    for expected, got in run(several, kernel, 3):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, **tolerance(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_donated_input_is_used_up(name):
    small = Small(name, 1)
    kernel = arrays(small.at((6,), channels=(4, 4)))[1]
    call = functools.partial(ops.conv, algorithm=name, groups=small.problem.groups)
    x = jnp.arange(48, dtype=jnp.float32).reshape(2, 6, 4)
    expected = np.asarray(jax.jit(call)(x, kernel))
    y = jax.jit(call, donate_argnums=0)(x, kernel)
    assert x.is_deleted()
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_is_made_of_the_three_primitives(name):
    """Whatever the algorithm, nothing but them multiplies; a second derivative needs no others."""
    small = Small(name, 1)
    x, kernel, _ = arrays(small.problem)
    loss = lambda x, k: jnp.sum(small.call(x, k) ** 2)
    gradient = jax.grad(loss, (0, 1))
    multiplying = ("dot_general", "conv_general_dilated", "fft", "scan", "while")
    ours = ["conv", "conv_input_gradient", "conv_kernel_gradient"]
    first = primitives(jax.make_jaxpr(gradient)(x, kernel).jaxpr)
    assert sorted(n for n in first if n in (*ours, *multiplying)) == ours
    twice = lambda x, k: jax.jvp(gradient, (x, k), (x, k))
    second = primitives(jax.make_jaxpr(twice)(x, kernel).jaxpr)
    assert {n for n in second if n in (*ours, *multiplying)} == set(ours)


def test_a_transposed_convolution_is_the_input_gradient():
    y, kernel = jnp.ones((1, 4, 3)), jnp.ones((3, 2, 3))
    call = functools.partial(ops.conv_transpose, stride=2, algorithm=NAMES[0])
    jaxpr = jax.make_jaxpr(call)(y, kernel).jaxpr
    [equation] = [e for e in jaxpr.eqns if e.primitive.name.startswith("conv_")]
    assert equation.primitive.name == "conv_input_gradient"
    assert equation.params["algorithm"] == NAMES[0]
    back = primitives(jax.make_jaxpr(jax.grad(lambda y: call(y, kernel).sum()))(y).jaxpr)
    assert "conv" in back  # its gradient is the convolution


def test_a_second_call_does_not_trace_again():
    traced = []

    @functools.partial(jax.jit, static_argnames="name")
    def gradient(x, kernel, name):
        traced.append(name)
        return jax.grad(lambda x: jnp.sum(ops.conv(x, kernel, algorithm=name) ** 2))(x)

    x, kernel = jnp.ones((2, 5, 2)), jnp.ones((3, 2, 2))
    one, two = NAMES[:2]
    for name in (one, one, two, one):
        assert gradient(x + 1, kernel, name).shape == x.shape
    assert traced == [one, two]
    # Nor do calls outside of jit compile again.
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **__: compiled.append(event) if "backend_compile" in event else None
    )
    other, twice = x - 1, kernel * 2
    assert ops.conv(x, kernel, padding=7).shape == (2, 17, 2)
    first = len(compiled)
    assert ops.conv(other, twice, padding=7).shape == (2, 17, 2)
    assert len(compiled) == first > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_has_an_empty_result_and_a_zero_kernel_gradient(name):
    small = Small(name, 1)
    x, kernel, dy = arrays(small.at((5,), batch=0))
    y, dx, dk = compiled(small.passes)(x, kernel, dy)
    assert y.shape == dy.shape and dx.shape == x.shape
    np.testing.assert_array_equal(dk, np.zeros_like(kernel))


@pytest.mark.parametrize("small", [s for s in SERVED if s.rank == 2], ids=str)
def test_members_run_as_groups_where_they_do_not_run_one_by_one(small):
    """Both ways to run convolutions side by side, a loop (CPU) and groups (others), agree."""
    p = small.problem
    rng = np.random.default_rng(0)
    x, kernel, y = (
        rng.standard_normal((3, *s)).astype(np.float32)
        for s in (p.x_shape, p.kernel_shape, p.y_shape)
    )
    operands = {"forward": (x, kernel), "input_gradient": (y, kernel), "kernel_gradient": (x, y)}

    @compiled
    def run(operands):
        compute = functools.partial(primitive.compute, problem=p, algorithm=small.name)
        return {
            which: [compute(which, platform, *pair) for platform in ("cpu", "cuda")]
            for which, pair in operands.items()
        }

    for which, (cpu, other) in run(operands).items():
        np.testing.assert_allclose(other, cpu, **tolerance(small.name), err_msg=which)


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
def test_every_algorithm_lowers_for_every_platform(platform):
    """On any machine: what `jax.export` and ahead-of-time compilation need."""
    small = Small(REFERENCE, 2)
    x, kernel, dy = arrays(small.problem)
    names = ["auto", *(s.name for s in SERVED if s.rank == 2 and s.options == small.options)]

    def run(x, kernel, dy):
        return [Small(name, 2).passes(x, kernel, dy) for name in names]

    text = jax.jit(run).trace(x, kernel, dy).lower(lowering_platforms=(platform,)).as_text()
    assert len(names) > 5 and text.count("stablehlo.convolution") >= 3


def test_mismatched_operands_are_refused_by_the_shape_rule():
    problem = describe((2, 5, 4), (3, 4, 6))
    x, kernel, dy = arrays(problem)
    with pytest.raises(TypeError, match=r"forward: x is .*float32\[1,2,4,4\]"):
        primitive.bind("forward", x[None, :, 1:], kernel[None], problem, REFERENCE)
    with pytest.raises(TypeError, match="kernel_gradient: y is"):
        primitive.bind("kernel_gradient", x[None], dy[None].astype(jnp.float16), problem, REFERENCE)
