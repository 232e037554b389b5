"""What is compiled in one mode is never used in the other."""

import re
import threading

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import cnnlab
from cnnlab import ops
from cnnlab.accelerate import accelerated
from cnnlab.ops import REFERENCE

X, K = jnp.ones((2, 6, 6, 4)), jnp.ones((3, 3, 4, 8))
NAMES = ("NHWC", "HWIO", "NHWC")


def conv(x, k):
    return lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NAMES)


def served(function, *args):
    """Whether cnnlab computes what is compiled for these arguments now."""
    return "cnnlab" in jax.jit(function).lower(*args).as_text()


@pytest.fixture(autouse=True)
def _off():
    yield
    cnnlab.accelerate(False)


def test_a_block_and_the_process():
    assert not served(conv, X, K)
    with accelerated():
        assert served(conv, X, K)
        with accelerated(False):
            assert not served(conv, X, K)
        assert served(conv, X, K)
    assert not served(conv, X, K)
    cnnlab.accelerate()
    assert served(conv, X, K)
    cnnlab.accelerate(False)
    assert not served(conv, X, K)


def test_a_jitted_function_has_a_program_of_each_mode():
    """Traced again in the other mode, and found again in its own, also through another `jit`."""
    traces = []

    @jax.jit
    def inner(x, k):
        traces.append(1)
        return conv(x, k)

    outer = jax.jit(lambda x, k: 2 * inner(x, k))
    programs = {}
    for on in (False, True, False, True):
        with accelerated(on):
            inner(X, K), outer(X, K)
            programs.setdefault(on, []).append(outer.lower(X, K).as_text())
    assert len(traces) == 2
    assert [("cnnlab" in text) for text in programs[False]] == [False, False]
    assert [("cnnlab" in text) for text in programs[True]] == [True, True]


def test_compiled_programs_keep_their_code():
    plain = jax.jit(conv).lower(X, K).compile()
    with accelerated():
        ours = jax.jit(conv).lower(X, K).compile()
        assert "cnnlab" not in plain.as_text()
    assert "cnnlab" in ours.as_text()
    assert (plain(X, K) == ours(X, K)).all()


def test_what_runs_without_jit():
    with accelerated(), jax.log_compiles():
        assert (conv(X, K) == 36)[:, 1:-1, 1:-1].all()
    with accelerated(), jax.disable_jit():
        assert (conv(X, K) == 36)[:, 1:-1, 1:-1].all()


def test_a_block_is_of_its_thread():
    found = {}
    inside, done = threading.Event(), threading.Event()

    def other():
        inside.wait()
        found["other"] = served(conv, X, K)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with accelerated():
        inside.set()
        done.wait()
        found["own"] = served(conv, X, K)
    thread.join()
    cnnlab.accelerate()
    thread = threading.Thread(target=lambda: found.setdefault("process", served(conv, X, K)))
    thread.start()
    thread.join()
    assert found == {"other": False, "own": True, "process": True}


def test_an_algorithm_that_is_asked_for_is_taken():
    """XLA's own as well, which is a convolution of JAX's."""
    with accelerated():
        assert not served(lambda x, k: ops.conv(x, k, algorithm=REFERENCE), X, K)
        assert served(lambda x, k: conv(ops.conv(x, k[..., :4], algorithm=REFERENCE), k), X, K)


def test_exported_programs_are_xlas():
    with accelerated():
        exported = jax.export.export(jax.jit(conv))(X, K)
    assert "cnnlab" not in str(exported.mlir_module())


def value_and_gradients(x, k):
    """Of a strided convolution and a maximum; `x` has 8 channels."""

    def value(x, k):
        y = lax.conv_general_dilated(x, k, (2, 1), "SAME", dimension_numbers=NAMES)
        y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "SAME")
        return jnp.sum(jnp.sin(y)), y

    return jax.value_and_grad(value, (0, 1), has_aux=True)(x, k)


@pytest.mark.parametrize("kind", [jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit])
def test_each_device_computes_its_part_of_the_batch(kind):
    mesh = jax.make_mesh((2,), ("d",), axis_types=(kind,))
    x = jax.random.normal(jax.random.key(0), (4, 6, 6, 8))
    k = jax.random.normal(jax.random.key(1), (3, 3, 8, 16)) / 9
    expected = jax.jit(value_and_gradients)(x, k)
    cut = [
        jax.device_put(v, jax.NamedSharding(mesh, s)) for v, s in ((x, jax.P("d")), (k, jax.P()))
    ]
    with accelerated(), jax.set_mesh(mesh):
        program = jax.jit(value_and_gradients).lower(*cut).compile()
    found, text = program(*cut), program.as_text()
    parts = [line for line in text.splitlines() if 'custom_call_target="cnnlab' in line]
    assert len(parts) == 5 and "all-gather" not in text and " convolution(" not in text
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert jnp.abs(jax.device_get(a) - b).max() <= 1e-5 * jnp.abs(b).max()
    (_, y), (dx, dk) = found
    assert [v.sharding.shard_shape(v.shape)[0] for v in (y, dx, dk)] == [2, 2, 3]


def test_however_arrays_are_cut_results_and_where_they_are_stay_the_same():
    """Along channels, space, and unevenly; with a part of the mesh under `shard_map`, too."""
    mesh = jax.make_mesh((1, 2), ("e", "d"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    x = jax.random.normal(jax.random.key(0), (3, 6, 6, 8))
    k = jax.random.normal(jax.random.key(1), (3, 3, 8, 16)) / 9
    where = lambda *spec: jax.NamedSharding(mesh, jax.P(*spec))
    cuts = [("d",), (None, "d"), (None, None, None, "d"), ()]

    @jax.jit
    def every(x, k):
        keep = jax.lax.with_sharding_constraint
        results = [
            jax.vjp(conv, jnp.cos(keep(x, where(*spec))), keep(k, where(None, None, None, *last)))
            for spec, last in ((spec, "" if spec else "d") for spec in cuts)
        ]
        of_rest = jax.shard_map(
            conv, mesh=mesh, in_specs=(jax.P("e"), jax.P()), out_specs=jax.P("e"), axis_names={"e"}
        )
        return [(y, *pull(y)) for y, pull in results], of_rest(keep(x, where(None, "d")), k)

    plain = every(x, k)
    with accelerated():
        ours = every(x, k)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        assert jnp.abs(a - b).max() <= 1e-5 * jnp.abs(b).max()
        assert a.sharding.is_equivalent_to(b.sharding, 4)


def test_programs_on_disk_tell_apart_what_is_cut_for_several_devices():
    """Shapes are the same, and XLA's program has an address instead of what each device runs."""
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    cut = jax.device_put(X, jax.NamedSharding(mesh, jax.P("d")))

    def text(low, high):
        run = lambda x, k: lax.conv_general_dilated(
            x, k, (1, 1), [(low, high)] * 2, dimension_numbers=NAMES
        )
        lowered = jax.jit(run).lower(cut, K).as_text()
        assert "CustomSPMDPartitioning" in lowered
        return re.sub(r'backend_config = "\d+"', "", lowered)

    with accelerated():
        assert text(1, 1) == text(1, 1) != text(2, 0)


def test_replicas_loops_and_donation():
    """A training step of each replica: a scan over kernels, recomputed for the gradient."""

    def loss(kernels, x):
        layer = jax.checkpoint(lambda x, k: (jnp.tanh(conv(x, k)), None))
        return jnp.sum(jax.lax.scan(layer, x, kernels)[0] ** 2)

    step = jax.pmap(jax.grad(loss), in_axes=(None, 0), donate_argnums=1)
    kernels = 0.1 * jnp.stack([K[..., :4], K[..., 4:]])
    x = jnp.arange(2 * X.size).reshape(2, *X.shape) / 100
    expected = jax.vmap(jax.grad(loss), (None, 0))(kernels, x)
    with accelerated():
        text = step.lower(kernels, x).as_text()
        found = step(kernels, x)
    assert "cnnlab_conv" in text and "stablehlo.convolution" not in text
    error = jnp.abs(found - expected).max()  # sums of large terms: relative to the largest
    assert error <= 1e-5 * jnp.abs(expected).max()
