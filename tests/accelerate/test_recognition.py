"""What JAX makes of a convolution is recognised as the pass that it is, or left with a reason."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from primitive_cases import needs_engine

import cnnlab
from cnnlab.accelerate import accelerated
from cnnlab.accelerate.recognition import recognise

F, X, K = "forward", "input gradient", "kernel gradient"
LAST, FIRST = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")


def conv(x, k, names=LAST, stride=1, padding="SAME", **others):
    stride = (stride,) * (x.ndim - 2)
    return lax.conv_general_dilated(x, k, stride, padding, dimension_numbers=names, **others)


def readings(function, *args):
    """Of the convolutions of a function, in the order of its program."""
    eqns = jax.make_jaxpr(function)(*args).jaxpr.eqns
    found = [e for e in eqns if e.primitive is lax.conv_general_dilated_p]
    return [recognise(*(v.aval for v in e.invars), **e.params) for e in found]


def passes(function, *args):
    return [r.which.replace("_", " ") for r in readings(function, *args)]


def both(of, x, k):
    y, transpose = jax.vjp(of, x, k)
    return y, transpose(y)


def arrays(names, c=4, o=6, groups=1):
    first = names[0].startswith("NC")
    x = (2, c, 9, 8) if first else (2, 9, 8, c)
    return jnp.zeros(x), jnp.zeros((o, c // groups, 3, 3) if first else (3, 3, c // groups, o))


@pytest.mark.parametrize("names", [LAST, FIRST])
@pytest.mark.parametrize(
    ("arguments", "groups"),
    [
        ({}, 1),
        ({"stride": 2, "padding": ((0, 1), (1, 1))}, 1),
        ({"rhs_dilation": (2, 1), "padding": "VALID"}, 1),
        ({"feature_group_count": 2, "stride": 2}, 2),
        ({"feature_group_count": 4}, 4),
    ],
)
def test_gradients_are_those_of_one_problem(names, arguments, groups):
    of = functools.partial(conv, names=names, **arguments)
    x, k = arrays(names, o=4 * groups, groups=groups)
    forward, *others = readings(functools.partial(both, of), x, k)
    assert forward.which == "forward"
    assert {r.which for r in others} == {"input_gradient", "kernel_gradient"}
    problem = forward.problem
    for other in others:
        same = ("batch", "in_channels", "out_channels", "groups", "out", "kernel_size", "stride")
        for name in (*same, "dilation"):
            assert getattr(other.problem, name) == getattr(problem, name), name
        # Where a stride leaves entries over, they may be counted as padding or not at all.
        ends = lambda p: [low for low, _ in p.padding]
        assert ends(other.problem) == ends(problem) and other.members == 1


@pytest.mark.parametrize("names", [LAST, FIRST])
def test_a_transposed_convolution_and_its_gradients(names):
    of = lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME", dimension_numbers=names)
    x, k = arrays(names)
    made, dx, dk = sorted(passes(functools.partial(both, of), x, k), key=(X, F, K).index)
    assert (made, dx, dk) == (X, F, K)


def test_batches():
    x, k = jnp.zeros((5, 2, 9, 8, 4)), jnp.zeros((5, 3, 3, 4, 6))
    both_mapped = jax.vmap(functools.partial(both, conv))
    found = readings(both_mapped, x, k)
    assert sorted(r.which for r in found) == ["forward", "input_gradient", "kernel_gradient"]
    groups = {r.which: (r.problem.groups, r.members) for r in found}
    assert groups["forward"] == groups["input_gradient"] == (5, 1)
    assert groups["kernel_gradient"] == (1, 5)
    loss = lambda k, x: jnp.sin(conv(x, k)).sum()
    one = jax.vmap(jax.grad(loss), (None, 0))  # a gradient for each example
    (dk,) = [r for r in readings(one, k[0], x) if r.which == "kernel_gradient"]
    assert (dk.members, dk.problem.batch) == (5, 2)
    assert passes(jax.vmap(conv, (None, 0)), x[0], k) == [F]
    assert readings(jax.vmap(conv, (None, 0)), x[0], k)[0].problem.out_channels == 30


def test_derivatives_of_derivatives():
    x, k = arrays(LAST)
    loss = lambda x, k: jnp.sin(conv(x, k, stride=2)).sum()
    turned = lambda x, k, v: jax.jvp(jax.grad(loss), (x, k), (v, k))[1]
    assert sorted(passes(turned, x, k, x)) == [F] * 3 + [X] * 3
    assert passes(lambda x, k: jax.jvp(conv, (x, k), (x, k)), x, k) == [F] * 3


@pytest.mark.parametrize(
    ("x", "k", "arguments", "says"),
    [
        ((1, 6, 6, 2), (3, 3, 2, 1), {"dtype": "int32"}, "int32"),
        ((1, 6, 6, 2), (3, 3, 2, 1), {"dtype": "complex64"}, "three real ones"),
        ((1, 2), (2, 3), {"names": ("NC", "IO", "NC")}, "0 spatial axes, not 1 to 3"),
        ((1, 3, 3, 3, 3, 2), (2, 2, 2, 2, 2, 1), {"names": ("NABDEC", "ABDEIO", "NABDEC")}, "4 sp"),
        ((0, 6, 6, 2), (3, 3, 2, 1), {}, "empty"),
        ((1, 2, 2, 2), (3, 3, 2, 1), {"padding": "VALID"}, "empty"),
        ((1, 1, 6, 2), (1, 1, 2, 1), {"padding": ((-1, 2), (0, 0))}, "reads nothing"),
    ],
)
def test_what_is_left_to_xla_and_why(x, k, arguments, says):
    arguments = dict(arguments)
    dtype = arguments.pop("dtype", "float32")
    x, k = jnp.zeros(x, dtype), jnp.zeros(k, dtype)
    (reason,) = readings(functools.partial(conv, **arguments), x, k)
    assert isinstance(reason, str) and says in reason
    with accelerated():
        jax.jit(functools.partial(conv, **arguments))(x, k)


def test_the_highest_precision_is_of_direct_sums():
    x, k = jnp.zeros((4, 32, 32, 64)), jnp.zeros((3, 3, 64, 64))
    (fast,) = readings(conv, x, k)
    (exact,) = readings(functools.partial(conv, precision="highest"), x, k)
    assert (fast.direct, exact.direct) == (False, True)


def test_what_is_said(capsys):
    """By a block, in the order in which it compiles; by a summary, with their number."""
    x, k = arrays(LAST)
    net = lambda x, k: jax.lax.fori_loop(0, 3, lambda i, x: conv(conv(x, k), k), conv(x, k))
    k = jnp.zeros((3, 3, 4, 4))
    said = str(cnnlab.summary(net, x, jax.ShapeDtypeStruct(k.shape, k.dtype)))
    line, total, _ = said.splitlines()
    assert total == f"{7 * 2 * 9 * 8 * 4 * 9 * 4:,} multiply-adds"
    assert line.startswith("3 x ") and "forward of 2x9x8x4 k3x3x4x4 s1x1 p1:1x1:1" in line
    with accelerated(verbose=True):
        jax.jit(net).lower(x, k)
        conv(x.astype(int), k.astype(int))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == line.removeprefix("3 x ")
    assert lines[-1].startswith("XLA's own: convolution of int32[2,9,8,4] and ")
    nothing = str(cnnlab.summary(jnp.sin, x))
    assert nothing.startswith("no convolution, no pooling and no long sum\n0 multiply-adds\n")


@pytest.mark.parametrize("names", [LAST, FIRST])
def test_a_kernel_that_was_turned_around_is_taken_as_it_was(names):
    """Of JAX's reversal and the one that undoes it nothing is left in the compiled program."""

    def loss(x, k, grouped):
        y = conv(jnp.tanh(conv(x, k, names=names)), grouped, names=names, feature_group_count=2)
        return jnp.sum(y**2)

    x, k = arrays(names, c=16, o=32)
    _, grouped = arrays(names, c=32, o=16, groups=2)
    with accelerated():
        program = jax.jit(jax.grad(loss, (0, 1, 2))).lower(x, k, grouped).compile()
    text = program.as_text()
    assert text.count('custom_call_target="cnnlab_conv"') == 6 and "reverse(" not in text
    # Neither are kernels in PyTorch's order copied into another one.
    of_kernel = re.compile(r"= f32\[(?:3,3,16,32|32,16,3,3)\]\S* (?:transpose|copy)\(")
    assert text.count("outputs_first = true") == (3 if names == FIRST else 0)
    assert names == LAST or not of_kernel.findall(text)


ROWS = ("NCH", "OIH", "NCH")


@needs_engine
def test_sequences_stay_as_they_lie():
    """In a network of channels first no activation is copied into another layout."""

    def loss(kernels, x):
        first, gate, last = kernels
        x = conv(x, first, names=ROWS, padding=((2, 0),))
        a, b = jnp.split(conv(x, gate, names=ROWS, rhs_dilation=(4,)), 2, 1)
        return jnp.sum(conv(jnp.tanh(a) * b, last, names=ROWS) ** 2)

    kernels = [jnp.zeros(s) for s in ((32, 16, 3), (64, 32, 2), (16, 32, 1))]
    x = jnp.zeros((5, 16, 256))
    with accelerated():
        text = jax.jit(jax.grad(loss, (0, 1))).lower(kernels, x).compile().as_text()
    assert text.count('"cnnlab_conv_channels_first"') == 9
    turned = re.compile(r"= f32\[5,\d+,\d+\]\{[012,]*\} (?:transpose|copy)\(")
    assert not turned.findall(text) and "{1,2,0}" not in text


@pytest.mark.parametrize(
    ("names", "groups", "taken"),
    [
        (ROWS, 1, True),
        (("NHC", "HIO", "NHC"), 1, False),
        (("NCH", "OIH", "NHC"), 1, False),
        (ROWS, 2, True),
    ],
)
def test_channels_first_are_all_activations(names, groups, taken):
    x = jnp.zeros((2, 4, 9) if names[0] == "NCH" else (2, 9, 4))
    k = jnp.zeros((6, 4 // groups, 3) if names[1] == "OIH" else (3, 4, 6))
    of = functools.partial(conv, names=names, feature_group_count=groups, padding=((-1, 2),))
    found = [r.channels_first for r in readings(functools.partial(both, of), x, k)]
    assert [r is not None for r in found] == [taken] * 3
    if taken:  # what is cropped is cropped along space
        assert all(r.edges[:2] == ((0, 0, 0), (0, 0, 0)) for r in found)
        assert any(map(any, found[0].edges))


@needs_engine
@pytest.mark.parametrize(
    ("channels", "size", "names", "left"),
    [
        ((256, 256), 1, ("NCH", "OIH", "NCH"), True),
        ((64, 1024), 1, ("NCH", "OIH", "NCH"), True),
        ((255, 256), 1, ("NCH", "OIH", "NCH"), False),
        ((256, 256), 2, ("NCH", "OIH", "NCH"), False),
        ((256, 256), 1, ("NHC", "HIO", "NHC"), False),
    ],
)
def test_wide_matrices_as_they_lie_are_left_to_xla(channels, size, names, left):
    c, o = channels
    x = jnp.zeros((2, c, 40) if names[0] == "NCH" else (2, 40, c))
    k = jnp.zeros((o, c, size) if names[0] == "NCH" else (size, c, o))
    lines = str(cnnlab.summary(functools.partial(both, functools.partial(conv, names=names)), x, k))
    assert lines.count("as they lie, channels first") == (3 if left else 0)
