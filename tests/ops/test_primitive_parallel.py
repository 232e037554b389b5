"""The convolution on two devices: pmap, shard_map and sharded jit, values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from primitive_cases import NAMES as SERVING
from primitive_cases import Small, arrays, compiled, in_tiles, predicted, tolerance

from cnnlab import ops
from cnnlab.ops import describe

# What is best there has loops of its own for it.
DEPTHWISE = f"depthwise {predicted(describe((8, 6, 2), (3, 1, 2), groups=2))[0]}"
NAMES = [*SERVING, DEPTHWISE, "auto"]


def mesh_of(kind):
    return jax.make_mesh((2,), ("batch",), axis_types=(kind,))


@functools.cache
def setting(name):
    """A call, arguments with 8 examples, and value and gradients on one device."""
    small = Small(name.split()[-1], 1)
    channels = (2, 2) if name == DEPTHWISE else (4, 6)
    x, kernel, dy = arrays(small.at((6,), batch=8, channels=channels))

    def value(x, kernel, dy):
        return jnp.sum(jnp.sin(small.call(x, kernel)) * dy)

    expected = compiled(jax.value_and_grad(value, (0, 1)))(x, kernel, dy)
    return small.call, value, (x, kernel, dy), jax.device_get(expected)


def compare(name, got):
    expected = setting(name)[-1]
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a.reshape(b.shape), b, **tolerance(name))


@pytest.fixture
def small_tiles(monkeypatch):
    """Two examples at a time: loops, with something to carry, on each device."""
    in_tiles(monkeypatch, 2)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_shard_map(name, check, small_tiles):
    """With the check, the gradient in the replicated kernel is summed by JAX; without, by us."""
    _, value, (x, kernel, dy), _ = setting(name)

    def part(x, kernel, dy):
        if check:
            total = lambda *args: jax.lax.psum(value(*args), "batch")
            return jax.value_and_grad(total, (0, 1))(x, kernel, dy)
        loss, (dx, dk) = jax.value_and_grad(value, (0, 1))(x, kernel, dy)
        return jax.lax.psum(loss, "batch"), (dx, jax.lax.psum(dk, "batch"))

    specs = {"in_specs": (P("batch"), P(), P("batch")), "out_specs": (P(), (P("batch"), P()))}
    run = jax.shard_map(part, mesh=mesh_of(AxisType.Auto), check_vma=check, **specs)
    compare(name, compiled(run)(x, kernel, dy))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("name", NAMES)
def test_sharded_jit(name, kind, small_tiles):
    """The batch stays sharded, and the kernel's gradient is a replicated whole."""
    call, value, args, _ = setting(name)
    mesh = mesh_of(kind)
    specs = P("batch"), P(), P("batch")
    args = [jax.device_put(v, NamedSharding(mesh, s)) for v, s in zip(args, specs, strict=True)]
    with jax.set_mesh(mesh):
        run = lambda *args: (call(*args[:2]), jax.value_and_grad(value, (0, 1))(*args))
        y, (loss, (dx, dk)) = compiled(run)(*args)
    compare(name, (loss, (dx, dk)))
    for whole in (y, dx):
        assert whole.sharding.shard_shape(whole.shape) == (4, *whole.shape[1:])
    assert dk.sharding.is_fully_replicated


@pytest.mark.parametrize("name", NAMES)
def test_pmap(name, small_tiles):
    _, value, (x, kernel, dy), _ = setting(name)

    def part(x, kernel, dy):
        loss, (dx, dk) = jax.value_and_grad(value, (0, 1))(x, kernel, dy)
        return jax.lax.psum((loss, dk), "batch"), dx

    split = lambda v: v.reshape(2, 4, *v.shape[1:])
    run = jax.pmap(part, axis_name="batch", in_axes=(0, None, 0))
    (loss, dk), dx = run(split(x), kernel, split(dy))
    np.testing.assert_array_equal(dk[0], dk[1])
    compare(name, (loss[0], (dx, dk[0])))


@pytest.mark.parametrize("check", [True, False])
def test_shard_map_of_second_derivatives_and_vmap(check):
    call, value, (x, kernel, dy), _ = setting(SERVING[0])

    def products(x, kernel, dy, summed):
        gradient = jax.grad(lambda x, k: value(x, k, dy), (0, 1))
        dx, dk = jax.jvp(gradient, (x, kernel), (x, kernel))[1]
        return dx, jax.lax.psum(dk, "batch") if summed else dk

    kernels = jnp.stack([kernel, 2 * kernel])
    over = functools.partial(jax.shard_map, mesh=mesh_of(AxisType.Auto), check_vma=check)
    parts = functools.partial(products, summed=not check)
    specs = {"in_specs": (P("batch"), P(), P("batch")), "out_specs": (P("batch"), P())}

    @compiled
    def run():
        each = jax.vmap(call, (None, 0))
        split = over(each, in_specs=(P("batch"), P()), out_specs=P(None, "batch"))
        whole = products(x, kernel, dy, summed=False), each(x, kernels)
        return (over(parts, **specs)(x, kernel, dy), split(x, kernels)), whole

    for a, b in zip(*map(jax.tree.leaves, run()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("check", [True, False])
def test_shard_map_over_the_kernels_channels(check):
    """The gradient in the replicated input is a sum over the devices."""
    x, kernel, dy = arrays(describe((2, 6, 3), (3, 3, 4)))

    def part(x, kernel, dy):
        y, pull = jax.vjp(functools.partial(ops.conv, algorithm=SERVING[0]), x, kernel)
        dx, dk = pull(dy)
        return y, dx if check else jax.lax.psum(dx, "batch"), dk

    channels = P(None, None, "batch")
    specs = {"in_specs": (P(), channels, channels), "out_specs": (channels, P(), channels)}
    split = jax.shard_map(part, mesh=mesh_of(AxisType.Auto), check_vma=check, **specs)
    one = jax.vjp(functools.partial(ops.conv, algorithm=SERVING[0]), x, kernel)
    expected = one[0], *one[1](dy)
    for a, b in zip(compiled(split)(x, kernel, dy), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
