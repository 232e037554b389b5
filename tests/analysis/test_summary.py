"""The table of a model against Jacobians, XLA's own count and counts by hand."""

import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import nn, ops
from cnnlab.analysis import count_parameters, summary
from cnnlab.analysis.fields import fields
from cnnlab.models import (
    MLP,
    VGG,
    Classifier,
    ConvHead,
    LinearHead,
    MLPHead,
    SequenceModel,
    feature_info,
    named_arrays,
    prototype,
    with_arrays,
)
from cnnlab.nn import factories
from cnnlab.ops import PASSES, choice


def make(make_model):
    """The model with 0.1 everywhere: initialisers would compile for every new shape."""

    def build(*args, **kwargs):
        template = abstract(make_model)(*args, **kwargs)
        return with_arrays(
            *template, {n: np.full(a.shape, 0.1) for n, a in named_arrays(*template).items()}
        )

    return build


# An algorithm for each pass, of those that serve whatever is strided or grouped.
ORDER = dict(zip(PASSES, ops.algorithms((5, 6, 2), (3, 3, 2, 3), stride=2), strict=False))


def abstract(make_model):
    return ft.partial(eqx.filter_eval_shape, eqx.nn.make_with_state(make_model))


def classifier(key, in_shape=(64, 64, 3), **kwargs):
    backbone = prototype(in_shape, key=key, **kwargs)
    return Classifier(backbone, LinearHead(backbone.out_shape, 10, key=key))


def test_summary_of_the_example_architecture(getkey):
    model, state = abstract(classifier)(getkey())
    table = cnnlab.summary(model, (64, 64, 3), state)
    counted = {row.path: row for row in table.rows if row.parameters}
    first, second, head = counted.values()
    assert list(counted)[2] == "head.linear"
    # Parameters s^2 c c' + c' (A 3.2); multiply-adds h w s^2 c c'.
    assert (first.parameters, first.multiply_adds) == (896, 64 * 64 * 864)
    assert (second.parameters, second.multiply_adds) == (18496, 32 * 32 * 18432)
    assert (head.parameters, head.multiply_adds) == (650, 640)
    assert table.parameters == 896 + 18496 + 650 == count_parameters(model)
    assert table.multiply_adds == 64 * 64 * 864 + 32 * 32 * 18432 + 640
    # 3x3: 3; 2x2 pool: +1; 3x3 at stride 2: +4; pool at stride 2: +2 (A 4.1).
    fields = [row.receptive_field for row in table.rows]
    distinct = [f for i, f in enumerate(fields) if i == 0 or f != fields[i - 1]]
    assert distinct == [(3, 3), (4, 4), (8, 8), (10, 10), "all"]


def test_the_table_as_text(getkey):
    model, state = abstract(classifier)(getkey())
    table = summary(model, (64, 64, 3), state)
    lines = str(table).splitlines()
    assert lines[0].split() == [
        *("layer", "kind", "output", "shape", "algorithm"),
        *("parameters", "multiply-adds", "receptive", "field"),
    ]
    assert lines[2].split() == ["input", "(64,", "64,", "3)"]
    total = len(table.rows) + 4
    assert lines[total].split() == ["total", "20,042", f"{table.multiply_adds:,}"]
    used = {name for row in table.rows for name in row.algorithm.split(", ")} - {""}
    assert {line.split(":")[0] for line in lines[total + 1 :]} == used
    assert "lax: errors relative to the products that it sums" in str(table)
    head = next(line for line in lines if line.startswith("head.linear"))
    assert head.split() == ["head.linear", "Linear", "(10,)", "650", "640", "all"]
    assert all("8 x 8" in line for line in lines if "(32, 32, 64)" in line)


@pytest.mark.parametrize(
    ("in_shape", "plan", "options"),
    [
        ((40, 1), [2, 2, "M", 2, "M", 2], {}),
        ((40, 1), [2, 2, "M", 2, "M", 2], {"pool": "stride"}),
        ((24, 30, 1), [2, "M", 2, 2], {"pool": "avg"}),
        ((30, 40, 1), [2, "M", 2], {"kernel_size": 5}),
        ((14, 14, 14, 1), [1, "M", 1], {"pool": "avg"}),
        ((40, 1), [2, "M", 2], {"conv": (factories.dilated, {"dilation": 3})}),
        ((40, 2), [2, "M", 2], {"conv": (factories.depthwise_separable, {})}),
        ((40, 1), [2, "M", 2], {"conv": (factories.locally_connected, {})}),
        ((40, 1), [2, "M", 2], {"conv": (factories.pointwise, {})}),
    ],
)
def test_receptive_field_is_the_support_of_the_jacobian(in_shape, plan, options, getkey):
    options = dict(options)
    function, arguments = options.pop("conv", (factories.dense, {}))
    conv = lambda *args, **kwargs: function(*args, **kwargs, **arguments)
    # Positive weights and softplus: no derivative is 0. Max pooling would show one position only.
    backbone, state = make(VGG)(
        in_shape, plan, conv=conv, activation="softplus", key=getkey(), **{"pool": "avg", **options}
    )

    def center(x):
        maps = backbone(x, state)[0]
        return maps[tuple(n // 2 for n in maps.shape[:-1])].sum()

    gradient = jax.jit(jax.grad(center))(jnp.zeros(in_shape))
    support = np.abs(gradient).sum(-1) > 0
    measured = tuple(
        int(np.ptp(np.nonzero(support)[axis])) + 1 for axis in range(len(in_shape) - 1)
    )
    assert feature_info(backbone)[-1].receptive_field == measured
    assert summary(backbone, in_shape, state).rows[-1].receptive_field == measured


def test_feature_info_stage_by_stage(getkey):
    plan = [4, 4, "M", 8, 8, "M", 16]
    backbone, _ = abstract(VGG)(
        (28, 28, 1), plan, conv=factories.dense, norm=nn.BatchNorm, key=getkey()
    )
    assert feature_info(backbone) == [
        ("stages[0]", 4, (2, 2), (6, 6), (14, 14, 4)),
        ("stages[1]", 8, (4, 4), (16, 16), (7, 7, 8)),
        ("stages[2]", 16, (4, 4), (24, 24), (7, 7, 16)),
    ]
    mlp, _ = abstract(MLP)((4, 4, 1), [5, 3], key=getkey())
    assert feature_info(mlp) == [
        ("stages[0]", 5, (), "all", (5,)),
        ("stages[1]", 3, (), "all", (3,)),
    ]


@pytest.mark.parametrize("name", ["dense", "dilated", "grouped", "depthwise_separable"])
def test_multiply_adds_are_half_the_flops_of_xla(name, getkey, monkeypatch):
    monkeypatch.setenv("CNNLAB_CONV", ops.REFERENCE)  # the defining sum, which is what is counted
    # VALID windows: at SAME borders XLA does not count the products with zeros.
    conv = lambda *args, **kwargs: getattr(factories, name)(*args, padding="VALID", **kwargs)
    backbone, state = make(VGG)(
        (12, 14, 4), [8, 8], conv=conv, activation="identity", use_bias=False, key=getkey()
    )
    table = summary(backbone, (12, 14, 4), state)
    run = jax.jit(lambda x: backbone(x, state)[0])
    flops = run.lower(jnp.zeros((1, 12, 14, 4))).compile().cost_analysis()["flops"]
    assert table.multiply_adds == pytest.approx(flops / 2, rel=1e-6)


def test_multiply_adds_at_borders_count_the_padded_window(getkey):
    # The convention of the field: every output costs s^2 c c', zeros or not.
    layer = nn.Conv2d(3, 5, 3, stride=2, key=getkey())
    (row,) = summary(layer, (7, 9, 3)).rows
    assert row.output_shape == (4, 5, 5)
    assert row.multiply_adds == 4 * 5 * 9 * 3 * 5


@pytest.mark.parametrize("given", [True, False])
def test_batch_norm_with_and_without_its_state(given, getkey):
    backbone, state = make(VGG)(
        (8, 2), [3, "M"], conv=factories.dense, norm=nn.BatchNorm, key=getkey()
    )
    before = jax.tree.leaves(state)
    table = summary(backbone, (8, 2), state if given else None)
    norm = next(row for row in table.rows if row.kind == "BatchNorm")
    assert (norm.output_shape, norm.parameters, norm.multiply_adds) == ((8, 3), 6, 0)
    assert table.parameters == 2 * 3 * 3 + 6
    assert all(map(np.array_equal, before, jax.tree.leaves(state)))


def test_summary_of_a_model_that_still_holds_its_state(getkey):
    backbone = VGG((8, 2), [3], conv=factories.dense, norm=nn.BatchNorm, key=getkey())
    made, state = eqx.nn.make_with_state(lambda: backbone)()
    assert summary(backbone, (8, 2)).rows == summary(made, (8, 2), state).rows


def test_summary_of_an_abstract_model_is_the_same_and_free(getkey):
    # 13 TB of weights: this would not fit anywhere if anything were computed.
    def build(key):
        backbone = MLP((1024, 1024, 3), [1024 * 1024 * 3], key=key)  # the layer of A 1.3
        return Classifier(backbone, LinearHead(backbone.out_shape, 10, key=key))

    model, state = abstract(build)(getkey())
    table = summary(model, (1024, 1024, 3), state)
    n = 1024 * 1024 * 3
    assert table.rows[1].multiply_adds == n * n
    assert table.parameters == n * n + n + 10 * n + 10
    build = lambda key: classifier(key, (8, 8, 3))
    (small, state), (template, template_state) = make(build)(getkey()), abstract(build)(getkey())
    concrete = summary(small, (8, 8, 3), state)
    assert summary(template, (8, 8, 3), template_state) == concrete


def test_a_shared_layer_runs_twice_and_is_counted_once(getkey):
    layer = nn.Linear(4, 4, key=getkey())

    class Repeat(eqx.nn.StatefulLayer):
        inner: nn.Linear

        def __call__(self, x, state, *, key=None):
            return self.inner(self.inner(x)), state

    table = summary(Repeat(layer), (4,))
    assert [row.path for row in table.rows] == ["inner", "inner"]
    assert table.parameters == 20 and table.multiply_adds == 32


def test_dropout_and_hidden_layers_appear_in_order(getkey):
    def build(key):
        backbone = MLP((6,), [5], dropout=0.1, key=key)
        return Classifier(backbone, MLPHead((5,), 2, hidden=[4], dropout=0.1, key=key))

    model, state = abstract(build)(getkey())
    rows = summary(model, (6,), state).rows
    assert [row.kind for row in rows] == [
        "Flatten", "Linear", "Activation", "Dropout",
        "Flatten", "Linear", "Activation", "Dropout", "Linear",
    ]  # fmt: skip
    assert [row.output_shape for row in rows if row.parameters] == [(5,), (4,), (2,)]


def test_summary_of_a_model_of_tokens(getkey):
    long = ft.partial(nn.filters.Hyena, span=20)

    def make(key):
        body = SequenceModel((20,), width=8, depth=1, vocabulary=6, filter=long, key=key)
        return Classifier(body, ConvHead(body.out_shape, 6, pool="none", key=key))

    model, state = abstract(make)(getkey())
    table = summary(model, (20,), state)
    assert table.rows[0].kind == "Embedding" and table.rows[0].parameters == 6 * 8
    (conv,) = (row for row in table.rows if row.kind == "LongConv1d")
    # A kernel of 20 taps behind one of 3; the product with each tap and channel.
    assert (conv.receptive_field, conv.multiply_adds) == ((22,), 20 * 20 * 8)
    assert table.rows[-1].output_shape == (20, 6) and table.input_shape == (20,)
    assert [found.size for found in fields(model, (20,), state)][-1] == (22,)


def test_receptive_field_after_a_transposed_convolution_is_not_guessed(getkey):
    up = nn.ConvTranspose2d(2, 3, 2, stride=2, key=getkey())
    model = eqx.nn.Sequential([up, nn.Conv2d(3, 4, 3, key=getkey()), nn.GlobalPool()])
    rows = summary(model, (4, 5, 2)).rows
    assert [row.receptive_field for row in rows] == ["unknown"] * 3
    assert rows[0].output_shape == (8, 10, 3)


def test_summary_shows_the_algorithm_of_every_convolution(getkey, monkeypatch):
    monkeypatch.delenv("CNNLAB_CONV", raising=False)
    named = nn.Conv2d(3, 4, 3, algorithm=ops.REFERENCE, key=getkey())
    assert [row.algorithm for row in summary(named, (8, 8, 3)).rows] == [ops.REFERENCE]
    automatic = nn.Conv2d(64, 64, 3, key=getkey())
    kernel, shape = automatic.weight.shape, (32, 16, 16, 64)
    (row,) = summary(automatic, shape[1:], batch_size=32).rows
    taken = list(ops.algorithms(shape, kernel).auto.values())
    assert row.algorithm in (", ".join(taken), taken[0])
    # A transposed layer runs the input gradient of its convolution, and says so first.
    monkeypatch.setattr(choice, "predicted", lambda names, problem, which, platform: ORDER[which])
    up = nn.ConvTranspose2d(2, 3, 3, key=getkey())
    (row,) = summary(up, (5, 6, 2)).rows
    forward, back, kernel = ORDER.values()
    assert row.algorithm == f"{back}, {forward}, {kernel}"
    pool = nn.MaxPool2d(2)
    assert [row.algorithm for row in summary(pool, (8, 8, 3)).rows] == [""]
