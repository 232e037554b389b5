"""Receptive fields through branches, against the support of gradients."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn, ops
from cnnlab.analysis import receptive_field, summary
from cnnlab.analysis.fields import fields
from cnnlab.models import feature_info
from cnnlab.models.trace import trace


def positive(key, shape, dtype=None):
    return jnp.ones(shape, dtype or jnp.float32)


def conv(kernel, rank=2, channels=2, out=2, **options):
    """Weights that cannot cancel, summed by XLA, where an exact zero is no dependence."""
    options = {
        "kernel_init": positive,
        "algorithm": ops.REFERENCE,
        "key": jax.random.key(0),
        **options,
    }
    return nn.Conv(rank, channels, out, kernel, **options)


def measured(f, shape):
    """Size and step along each spatial axis, and start, from gradients of two middle outputs; of
    1 + noise, so that all maxima differ, many times."""
    out = jax.eval_shape(f, jax.ShapeDtypeStruct((1, *shape), jnp.float32)).shape[1:-1]
    rng = np.random.default_rng(0)
    xs = jax.device_put(1 + rng.random((64, *shape)).astype(np.float32))
    boxes = []
    for position in ([n // 2 for n in out], [n // 2 + 1 for n in out]):
        value = lambda x, at=tuple(position): f(x)[(slice(None), *at)].sum()
        support = np.asarray(jax.jit(jax.grad(value))(xs) != 0).any((0, -1))
        boxes.append([(int(p.min()), int(p.max())) for p in np.nonzero(support)])
    first, second = boxes
    size = tuple(high - low + 1 for low, high in first)
    step = tuple(b[0] - a[0] for a, b in zip(first, second, strict=True))
    start = tuple(a[0] - n // 2 * s for a, n, s in zip(first, out, step, strict=True))
    return size, step, start


class Model(eqx.Module):
    """Layers, and how they are put together."""

    layers: list
    rule: object = eqx.field(static=True)

    def __call__(self, x, *, key=None):
        return self.rule(self.layers, x)


def parallel(layers, x):
    a, b = layers
    return a(x) + b(x)


def joined(layers, x):
    a, b, c = layers
    return c(jnp.concatenate([a(x), b(x), x], -1))


def residual(layers, x):
    a, b = layers
    return jax.nn.relu(b(a(x)) + x)


def twice(layers, x):
    (a,) = layers
    return a(jax.nn.gelu(a(x)))


def skipped(layers, x):
    a, _, b = layers
    return b(a(x))


def cropped(layers, x):
    a, b = layers
    return b(x)[:, 1:-1, 1:-1] * a(x)


def mapped(layers, x):
    a, b = layers
    return jax.checkpoint(lambda x: b(jax.vmap(a)(x)))(x)


def foreign(layers, x):
    first, pool, second = layers
    run = lambda x: second(pool(jax.nn.relu(first(x)))) + first(x)[:, ::2, ::2][:, 1:-1, 1:-1]
    return jnp.moveaxis(jax.vmap(run)(jnp.moveaxis(x, -1, 1)), 1, -1)


def foreign_layers():
    key = jax.random.key(0)
    first = eqx.nn.Conv2d(2, 2, 3, padding=1, key=key)
    second = eqx.nn.Conv2d(2, 2, 5, padding=1, dilation=1, key=key)
    ones = lambda layer: jax.tree.map(jnp.ones_like, layer)
    return [ones(first), eqx.nn.AvgPool2d(2, 2), ones(second)]


CASES = {
    "7x7 beside 3x3": ([conv(7), conv(3)], parallel, (7, 7)),
    "uneven beside": ([conv((5, 1)), conv((1, 3), dilation=2)], parallel, (5, 5)),
    "strided beside": ([conv(3, stride=2), conv(2, stride=2)], parallel, (3, 3)),
    "inception": ([conv(3), conv(5), conv(3, channels=6)], joined, (7, 7)),
    "residual": ([conv(3), conv(5)], residual, (7, 7)),
    "twice": ([conv(3)], twice, (5, 5)),
    "skipped": ([conv(3), conv(9), conv(3)], skipped, (5, 5)),
    "cropped": ([conv(3, padding="VALID"), conv(5)], cropped, (5, 5)),
    "mapped": ([conv(3), conv(3)], mapped, (5, 5)),
    "foreign": (foreign_layers(), foreign, (12, 12)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_branches_are_what_gradients_say(name):
    layers, rule, size = CASES[name]
    model = Model(layers, rule)
    shape = (14, 14, 2)
    expected = measured(model, shape)
    assert expected[0] == size  # what is counted by hand, too
    found = receptive_field(model, jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    assert found[1:] == expected


def test_every_row_of_a_summary_knows_its_branch():
    model = Model([*CASES["7x7 beside 3x3"][0], conv(3)], lambda ls, x: ls[2](parallel(ls[:2], x)))
    rows = summary(model, (20, 20, 2)).rows
    assert [row.receptive_field for row in rows] == [(7, 7), (3, 3), (9, 9)]
    rows = summary(Model([conv(3)], twice), (20, 20, 2)).rows
    assert [row.receptive_field for row in rows] == [(3, 3), (5, 5)]
    local = nn.LocallyConnected2d(2, 2, 5, (20, 20), key=jax.random.key(0))
    rows = summary(Model([local, conv(3)], residual), (20, 20, 2)).rows
    assert [row.receptive_field for row in rows] == [(5, 5), (7, 7)]
    calls = trace(Model([conv(3), conv(9), conv(3)], skipped), (20, 20, 2))
    assert [call.path for call in calls] == ["layers[0]", "layers[2]"]
    inside = trace(Model([conv(3), conv(3)], mapped), (20, 18, 2))
    assert [(c.in_shape, c.out_shape) for c in inside] == [((20, 18, 2), (20, 18, 2))] * 2


def test_a_gate_from_the_whole_map_sees_all():
    gate = lambda ls, x: ls[0](x) * jax.nn.sigmoid(x.mean((1, 2), keepdims=True))
    found = receptive_field(Model([conv(3)], gate), jnp.ones((1, 9, 7, 2)))
    assert found.size == (9, 7) and found.stride == (0, 0)
    (row,) = summary(Model([conv(3)], gate), (9, 7, 2)).rows
    assert row.receptive_field == (3, 3)
    statistics = nn.GroupNorm(2, 1)  # of any function they count, in a model's table they do not
    assert receptive_field(statistics, jnp.ones((1, 9, 7, 2))).size == (9, 7)
    rows = summary(eqx.nn.Sequential([conv(3), statistics]), (9, 7, 2)).rows
    assert [row.receptive_field for row in rows] == [(3, 3), (3, 3)]


def test_reshapes_keep_apart_what_they_join():
    # Rows in pairs, side by side in the channels: space to depth.
    def folded(x):
        n, h, w, c = x.shape
        x = x.reshape(n, h // 2, 2, w, c).transpose(0, 1, 3, 2, 4).reshape(n, h // 2, w, 2 * c)
        return conv(3, channels=4)(x)

    x = jnp.ones((1, 16, 12, 2))
    assert receptive_field(folded, x)[1:] == ((6, 3), (2, 1), (-2, -1))
    # All positions in one axis, as a transformer has them, and back.
    tokens = lambda x: conv(3)(jnp.tanh(x.reshape(1, -1, 2)).reshape(x.shape))
    assert receptive_field(tokens, x)[1:] == ((3, 3), (1, 1), (-1, -1))
    assert receptive_field(lambda x: x.reshape(1, -1), x).size == (16, 12)
    # Products of matrices: over channels, and over positions.
    mix = lambda x, w: jnp.einsum("bhwc,hg->bgwc", x, w)
    assert receptive_field(mix, x, jnp.ones((16, 5))).size == (16, 1)
    flipped = lambda x: conv(3)(x[:, ::-1])
    assert receptive_field(flipped, x)[1:] == ((3, 3), (-1, 1), (14, -1))


def test_what_is_not_followed_is_named():
    x = jnp.ones((1, 8, 8, 2))
    scan = lambda x: jax.lax.scan(lambda c, row: (c + row, c * row), x[:, 0], x[0])[1][None]
    with pytest.raises(ValueError, match=r"^f: .*scan"):
        receptive_field(scan, x)
    up = nn.ConvTranspose2d(2, 2, 2, stride=2, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"^f: .*conv_transpose"):
        receptive_field(up, x)
    unit = nn.ConvTranspose2d(
        2, 2, (2, 3), kernel_init="ones", algorithm=ops.REFERENCE, key=jax.random.key(0)
    )
    assert receptive_field(unit, jnp.ones((1, 14, 14, 2)))[1:] == measured(unit, (14, 14, 2))
    with pytest.raises(ValueError, match=r"^axes: expected"):
        receptive_field(up, x, axes=(4,))
    with pytest.raises(ValueError, match=r"^f: expected a function with one array"):
        receptive_field(lambda x: (x, x), x)


def test_feature_info_of_a_backbone_with_branches():
    class Wide(eqx.nn.StatefulLayer):
        big: nn.Conv
        small: nn.Conv

        def __call__(self, x, state, *, key=None):
            return self.big(x) + self.small(x), state

    class Backbone(eqx.nn.StatefulLayer):
        stages: tuple
        in_shape: tuple = eqx.field(static=True)
        used: int = eqx.field(static=True)

        def __call__(self, x, state, *, key=None):
            for stage in self.stages[: self.used]:
                x, state = stage(x, state)
            return x, state

    stages = (Wide(conv(7), conv(3)), Wide(conv(5, stride=2), conv(1, stride=2)))
    backbone = Backbone(stages, (20, 20, 2), 2)
    assert feature_info(backbone) == [
        ("stages[0]", 2, (1, 1), (7, 7), (20, 20, 2)),
        ("stages[1]", 2, (2, 2), (11, 11), (10, 10, 2)),
    ]
    assert [f.offset for f in fields(backbone, (20, 20, 2))] == [
        (-3, -3),
        (-1, -1),
        (-4, -4),
        (-3, -3),
    ]
    with pytest.raises(ValueError, match=r"^backbone: .*stages\[1\]"):
        feature_info(dataclasses.replace(backbone, used=1))
