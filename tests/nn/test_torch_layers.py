"""Values, gradients and running statistics against PyTorch's layers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn

torch = pytest.importorskip("torch", reason="compares with PyTorch")


def first(x):
    """Channels last to channels first, as a torch leaf that records gradients."""
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1).copy(), requires_grad=True)


def last(t):
    return np.moveaxis(t.detach().numpy(), 1, -1)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


@eqx.filter_jit
def value_and_grads(layer, x, cotangent):
    def loss(layer_and_x):
        layer, x = layer_and_x
        y = layer(x)
        return jnp.vdot(y, cotangent), y

    return eqx.filter_grad(loss, has_aux=True)((layer, x))


def kernel_to_torch(weight):
    """`(*k, c_in / g, c_out)` to `(c_out, c_in / g, *k)`."""
    weight = np.asarray(weight)
    return np.moveaxis(weight, (-1, -2), (0, 1)).copy()


@pytest.mark.parametrize(
    ("rank", "options"),
    [
        (1, {"stride": 2, "padding": 2, "dilation": 2}),
        (2, {"padding": (1, 2), "groups": 2}),
        (2, {"stride": (2, 1), "padding": 1, "groups": 4}),
        (3, {"padding": 1}),
    ],
)
def test_conv(rank, options, make, normal):
    layer = make(getattr(nn, f"Conv{rank}d"), 4, 8, 3, **options)
    theirs = getattr(torch.nn, f"Conv{rank}d")(4, 8, 3, **options)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(kernel_to_torch(layer.weight)))
        theirs.bias.copy_(torch.tensor(np.asarray(layer.bias)))
    x = normal(2, *(7, 6, 5)[:rank], 4)
    x_t = first(x)
    y_t = theirs(x_t)
    cotangent = normal(*last(y_t).shape)
    (grads, x_grad), y = value_and_grads(layer, x, cotangent)
    y_t.backward(first(cotangent).detach())
    close(y, last(y_t))
    close(x_grad, last(x_t.grad))
    close(kernel_to_torch(grads.weight), theirs.weight.grad)
    close(grads.bias, theirs.bias.grad)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2},
        {"stride": (1, 2), "dilation": 2},
    ],
)
def test_conv_transpose(options, make, normal):
    layer = make(nn.ConvTranspose2d, 4, 6, 3, **{"padding": 0, **options})
    theirs = torch.nn.ConvTranspose2d(4, 6, 3, **options)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(kernel_to_torch(layer.weight)))
        theirs.bias.copy_(torch.tensor(np.asarray(layer.bias)))
    x = normal(2, 4, 3, 4)
    x_t = first(x)
    y_t = theirs(x_t)
    cotangent = normal(*last(y_t).shape)
    (grads, x_grad), y = value_and_grads(layer, x, cotangent)
    y_t.backward(first(cotangent).detach())
    close(y, last(y_t))
    close(x_grad, last(x_t.grad))
    close(kernel_to_torch(grads.weight), theirs.weight.grad)


@eqx.filter_jit
def stateful_value_and_grads(layer, x, state, cotangent):
    def loss(layer_and_x):
        layer, x = layer_and_x
        y, new = layer(x, state)
        return jnp.vdot(y, cotangent), (y, new)

    return eqx.filter_grad(loss, has_aux=True)((layer, x))


def test_batch_norm_in_training_and_inference(run, normal):
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(3, momentum=0.8)
    layer = eqx.tree_at(lambda m: (m.weight, m.bias), layer, (normal(3), normal(3)))
    theirs = torch.nn.BatchNorm2d(3, momentum=0.2)  # torch's momentum is the new part
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(np.asarray(layer.weight)))
        theirs.bias.copy_(torch.tensor(np.asarray(layer.bias)))
    for _ in range(3):
        theirs.zero_grad()
        x, cotangent = normal(4, 3, 2, 3) * 2 + 1, normal(4, 3, 2, 3)
        x_t = first(x)
        y_t = theirs(x_t)
        y_t.backward(first(cotangent).detach())
        (grads, x_grad), (y, state) = stateful_value_and_grads(layer, x, state, cotangent)
        close(y, last(y_t))
        close(x_grad, last(x_t.grad))
        close(grads.weight, theirs.weight.grad)
        close(grads.bias, theirs.bias.grad)
    close(state.get(layer.running_mean), theirs.running_mean)
    close(state.get(layer.running_var), theirs.running_var)
    y, _ = run(eqx.nn.inference_mode(layer), x, state)
    close(y, last(theirs.eval()(first(x))))


@pytest.mark.parametrize(("rank", "groups"), [(1, 3), (2, 1), (3, 6)])
def test_group_norm(rank, groups, make_norm, normal):
    layer = make_norm(nn.GroupNorm, 6, groups, num_spatial_dims=rank)
    theirs = torch.nn.GroupNorm(groups, 6)
    check_norm(layer, theirs, normal(2, *(4, 3, 2)[:rank], 6) * 3 + 1, normal, first, last)


def test_layer_norm(make_norm, normal):
    layer = make_norm(nn.LayerNorm, 6)
    theirs = torch.nn.LayerNorm(6)
    as_is = lambda x: torch.tensor(np.asarray(x), requires_grad=True)
    back = lambda t: t.detach().numpy()
    check_norm(layer, theirs, normal(2, 4, 3, 6) * 3 + 1, normal, as_is, back)


@pytest.fixture
def make_norm(normal):
    def make(cls, *args, **kwargs):
        fill = lambda a: normal(*a.shape) if eqx.is_array(a) else a
        return jax.tree.map(fill, cls(*args, **kwargs))

    return make


def check_norm(layer, theirs, x, normal, to_torch, from_torch):
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(np.asarray(layer.weight)))
        theirs.bias.copy_(torch.tensor(np.asarray(layer.bias)))
    cotangent = normal(*x.shape)
    x_t = to_torch(x)
    y_t = theirs(x_t)
    y_t.backward(to_torch(cotangent).detach())
    (grads, x_grad), y = value_and_grads(layer, x, cotangent)
    close(y, from_torch(y_t))
    close(x_grad, from_torch(x_t.grad))
    close(grads.weight, theirs.weight.grad)
    close(grads.bias, theirs.bias.grad)


def test_linear(make, normal):
    layer = make(nn.Linear, 5, 3)
    theirs = torch.nn.Linear(5, 3)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(np.asarray(layer.weight).T.copy()))
        theirs.bias.copy_(torch.tensor(np.asarray(layer.bias)))
    x = normal(2, 4, 5)
    close(layer(x), theirs(torch.tensor(np.asarray(x))).detach())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("celu", "CELU"),
        ("elu", "ELU"),
        ("hard_sigmoid", "Hardsigmoid"),
        ("hard_swish", "Hardswish"),
        ("hard_tanh", "Hardtanh"),
        ("identity", "Identity"),
        ("leaky_relu", "LeakyReLU"),
        ("mish", "Mish"),
        ("relu", "ReLU"),
        ("relu6", "ReLU6"),
        ("selu", "SELU"),
        ("sigmoid", "Sigmoid"),
        ("silu", "SiLU"),
        ("softplus", "Softplus"),
        ("softsign", "Softsign"),
        ("swish", "SiLU"),
        ("tanh", "Tanh"),
    ],
)
def test_activation(ours, theirs):
    x = jnp.linspace(-8, 8, 41)
    expected = getattr(torch.nn, theirs)()(torch.tensor(np.asarray(x))).numpy()
    np.testing.assert_allclose(nn.activation(ours)(x), expected, rtol=1e-4, atol=1e-5)


def test_gelu_is_the_tanh_approximation():
    x = jnp.linspace(-8, 8, 41)
    expected = torch.nn.GELU(approximate="tanh")(torch.tensor(np.asarray(x))).numpy()
    np.testing.assert_allclose(nn.activation("gelu")(x), expected, rtol=1e-4, atol=1e-5)
