"""Names of arrays, loading by name, swapping the head and freezing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnlab import nn
from cnnlab.models import (
    MLP,
    VGG,
    Classifier,
    ConvHead,
    LinearHead,
    MLPHead,
    freeze,
    load_backbone,
    named_arrays,
    replace_head,
    with_arrays,
)
from cnnlab.nn import factories


def build(key, plan=(4, "M", 5), classes=3, norm=nn.BatchNorm):
    backbone = VGG((6, 6, 2), plan, conv=factories.dense, norm=norm, key=key)
    return Classifier(backbone, LinearHead(backbone.out_shape, classes, key=key))


def copy(state):
    """A state for one more call: a model makes the state that it was given invalid."""
    return jax.tree.map(lambda x: x, state)


def test_names_are_readable_and_complete(getkey, make):
    model, state = make(build, getkey())
    names = list(named_arrays(model, state))
    assert names == [
        "backbone.stages[0].layers[0].weight",
        "backbone.stages[0].layers[1].weight",
        "backbone.stages[0].layers[1].bias",
        "backbone.stages[0].layers[1].running_mean",
        "backbone.stages[0].layers[1].running_var",
        "backbone.stages[1].layers[0].weight",
        "backbone.stages[1].layers[1].weight",
        "backbone.stages[1].layers[1].bias",
        "backbone.stages[1].layers[1].running_mean",
        "backbone.stages[1].layers[1].running_var",
        "head.linear.weight",
        "head.linear.bias",
    ]
    arrays = jax.tree.leaves((eqx.filter(model, eqx.is_array), state))
    assert len(names) == len(arrays)
    assert [n for n in names if "running" not in n] == list(named_arrays(model))


@pytest.mark.parametrize("norm", [None, nn.BatchNorm])
def test_names_round_trip_exactly(norm, getkey, make):
    model, state = make(build, getkey(), norm=norm)
    other, other_state = make(build, getkey(), norm=norm)
    stored = {name: np.asarray(a) for name, a in named_arrays(model, state).items()}
    filled, filled_state = with_arrays(other, other_state, stored)
    assert eqx.tree_equal(filled, model)
    assert eqx.tree_equal(filled_state, state)
    x = jax.random.normal(getkey(), (2, 6, 6, 2))
    for m, f in ((model, filled), tuple(map(eqx.nn.inference_mode, (model, filled)))):
        np.testing.assert_array_equal(m(x, copy(state))[0], f(x, copy(filled_state))[0])
    # The state that was filled is still usable: nothing was changed in place.
    other(x, other_state)


def test_names_of_an_abstract_model(getkey, make):
    model, state = make(build, getkey())
    template, template_state = eqx.filter_eval_shape(eqx.nn.make_with_state(build), getkey())
    arrays = named_arrays(model, state)
    abstract = named_arrays(template, template_state)
    assert {n: (a.shape, a.dtype) for n, a in arrays.items()} == {
        n: (a.shape, a.dtype) for n, a in abstract.items()
    }
    filled, filled_state = with_arrays(template, template_state, arrays)
    assert eqx.tree_equal((filled, filled_state), (model, state))


def test_with_arrays_keeps_the_rest_and_the_dtype(getkey, make):
    model, state = make(build, getkey())
    new = {"head.linear.bias": np.arange(3, dtype=np.float64)}
    changed, changed_state = with_arrays(model, state, new)
    assert changed.head.linear.bias.dtype == jnp.float32
    np.testing.assert_array_equal(changed.head.linear.bias, [0, 1, 2])
    assert eqx.tree_equal((changed.backbone, changed_state), (model.backbone, state))


def test_with_arrays_refuses_what_does_not_fit(getkey, make):
    model, state = make(build, getkey())
    with pytest.raises(ValueError, match=r"^arrays\['head.b'\]: the model has no array"):
        with_arrays(model, state, {"head.b": jnp.zeros(3)})
    with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(4,\)"):
        with_arrays(model, state, {"head.linear.bias": jnp.zeros(4)})
    stateless, empty = make(build, getkey(), norm=None)
    with pytest.raises(ValueError, match=r"^state: no entry for backbone.stages\[0\].layers\[1\]"):
        named_arrays(model, empty)
    assert all("running" not in name for name in named_arrays(stateless, empty))


def test_load_backbone_takes_weights_and_statistics(getkey, make):
    source, source_state = make(build, getkey())
    model, state = make(build, getkey(), classes=7)
    head = model.head
    loaded, loaded_state, report = load_backbone(model, state, named_arrays(source, source_state))
    assert report.complete and len(report.matched) == 10
    assert str(report) == "loaded 10 of 10 arrays of the backbone"
    assert eqx.tree_equal(loaded.backbone, source.backbone)
    assert eqx.tree_equal(loaded_state, source_state)
    assert eqx.tree_equal(loaded.head, head)


def test_load_backbone_reports_what_does_not_fit(getkey, make):
    source, source_state = make(build, getkey(), plan=(4, "M", 8))
    tensors = {name: np.asarray(a) for name, a in named_arrays(source, source_state).items()}
    del tensors["backbone.stages[0].layers[1].bias"]
    tensors["backbone.stages[2].layers[0].weight"] = np.zeros((3, 3, 8, 8), np.float32)
    model, state = make(build, getkey())
    loaded, _, report = load_backbone(model, state, tensors)
    assert report.missing == ("backbone.stages[0].layers[1].bias",)
    assert report.unexpected == ("backbone.stages[2].layers[0].weight",)
    assert len(report.matched) == 4
    second = "backbone.stages[1].layers"
    assert report.mismatched == (
        (f"{second}[0].weight", (3, 3, 4, 5), (3, 3, 4, 8)),
        (f"{second}[1].weight", (5,), (8,)),
        (f"{second}[1].bias", (5,), (8,)),
        (f"{second}[1].running_mean", (5,), (8,)),
        (f"{second}[1].running_var", (5,), (8,)),
    )
    assert not report.complete
    lines = str(report).splitlines()
    assert lines[0] == "loaded 4 of 10 arrays of the backbone"
    assert lines[1] == "  missing 1: backbone.stages[0].layers[1].bias"
    assert lines[2] == "  unexpected 1: backbone.stages[2].layers[0].weight"
    assert lines[3].startswith(f"  mismatched 5: {second}[0].weight (3, 3, 4, 5) != (3, 3, 4, 8), ")
    assert lines[3].endswith("and 1 more") and len(lines) == 4
    new, old = named_arrays(loaded), named_arrays(model)
    matched = "backbone.stages[0].layers[0].weight"
    np.testing.assert_array_equal(new[matched], tensors[matched])
    np.testing.assert_array_equal(new[f"{second}[0].weight"], old[f"{second}[0].weight"])


def test_load_backbone_between_classifier_and_bare_backbone(getkey, make):
    source, source_state = make(build, getkey())
    backbone, state = make(
        VGG, (6, 6, 2), [4, "M", 5], conv=factories.dense, norm=nn.BatchNorm, key=getkey()
    )
    bare, bare_state, report = load_backbone(backbone, state, named_arrays(source, source_state))
    assert report.complete
    # The markers of the state name the class that was built, so the trees differ and arrays agree.
    expected = named_arrays(source.backbone, source_state)
    loaded = named_arrays(bare, bare_state)
    assert list(loaded) == list(expected)
    assert all(np.array_equal(loaded[name], expected[name]) for name in expected)
    model, model_state = make(build, getkey())
    back, _, report = load_backbone(model, model_state, loaded)
    assert report.complete and eqx.tree_equal(back.backbone, source.backbone)


def test_replace_head_keeps_the_backbone(getkey, make):
    model, state = make(build, getkey())
    x = jax.random.normal(getkey(), (2, 6, 6, 2))
    for kind in (LinearHead, MLPHead, ConvHead):
        new = replace_head(model, kind(model.backbone.out_shape, 9, key=getkey()))
        assert eqx.tree_equal(new.backbone, model.backbone)
        assert new(x, copy(state))[0].shape == (2, 9)
    with pytest.raises(ValueError, match=r"^head: "):
        replace_head(model, LinearHead((7, 7, 5), 9, key=getkey()))


def loss(model, state, x):
    logits, state = model(x, state)
    return jnp.sum(logits**2), state


@pytest.mark.parametrize(
    ("where", "frozen"),
    [
        ("backbone", ["backbone."]),
        ("backbone.stages[0]", ["backbone.stages[0]"]),
        (["head.linear.bias", "backbone.stages[1]"], ["head.linear.bias", "backbone.stages[1]"]),
    ],
)
def test_frozen_arrays_do_not_move_by_a_bit(where, frozen, getkey, make):
    model, state = make(build, getkey())
    x = jax.random.normal(getkey(), (3, 6, 6, 2))
    mask = freeze(model, where)
    # AdamW decays weights too, so a frozen array must be kept from both.
    tx = optax.multi_transform(
        {True: optax.adamw(0.1, weight_decay=0.1), False: optax.set_to_zero()},
        lambda _: mask,
    )

    @eqx.filter_jit
    def step(model):
        params = eqx.filter(model, eqx.is_inexact_array)
        grads, _ = eqx.filter_grad(loss, has_aux=True)(model, state, x)
        updates, _ = tx.update(grads, tx.init(params), params)
        return eqx.apply_updates(model, updates)

    after = step(model)
    for name, old in named_arrays(model).items():
        same = np.array_equal(old, named_arrays(after)[name])
        assert same == name.startswith(tuple(frozen)), name


def test_freezing_by_partition_asks_for_no_gradient(getkey, make):
    model, state = make(build, getkey())
    x = jax.random.normal(getkey(), (3, 6, 6, 2))
    trains, still = eqx.partition(model, freeze(model))
    assert jax.tree.leaves(trains.backbone) == []

    @eqx.filter_jit
    def step(trains, still):
        def partial(trains):
            return loss(eqx.combine(trains, still), state, x)[0]

        grads = eqx.filter_grad(partial)(trains)
        assert list(named_arrays(grads)) == ["head.linear.weight", "head.linear.bias"]
        tx = optax.sgd(0.1)
        return eqx.apply_updates(trains, tx.update(grads, tx.init(trains))[0])

    after = eqx.combine(step(trains, still), still)
    assert eqx.tree_equal(after.backbone, model.backbone)
    assert not eqx.tree_equal(after.head, model.head)


def test_masked_weight_decay(getkey, make):
    model, _ = make(build, getkey())
    params = eqx.filter(model, eqx.is_inexact_array)
    tx = optax.masked(optax.add_decayed_weights(0.5), freeze(model, "head"))
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    for name, update in named_arrays(updates).items():
        expected = 0 if name.startswith("head") else 0.5 * named_arrays(model)[name]
        np.testing.assert_array_equal(update, expected)


def test_freeze_refuses_a_part_that_is_not_there(getkey, make):
    model, _ = make(build, getkey())
    with pytest.raises(ValueError) as error:
        freeze(model, "bakbone")
    assert str(error.value) == "where: expected the name of a part of the model, got 'bakbone'"
    # Half a component is not a part.
    with pytest.raises(ValueError, match=r"^where\[1\]: .*got 'backbone.stag'$"):
        freeze(model, ["head", "backbone.stag"])


def test_a_model_without_convolutions(getkey, make):
    def build(key):
        return Classifier(MLP((4,), [3], key=key), LinearHead((3,), 2, key=key))

    model, state = make(build, getkey())
    assert list(named_arrays(model, state)) == [
        "backbone.stages[0].layers[0].weight",
        "backbone.stages[0].layers[0].bias",
        "head.linear.weight",
        "head.linear.bias",
    ]
