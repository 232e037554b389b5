"""Gated long convolutions: the formula written out, causal, of any length, with either head."""

import functools
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn
from cnnlab.models import Classifier, ConvHead, LinearHead, SequenceModel
from cnnlab.nn.filters import S4D

FILTER = functools.partial(S4D, modes=4)


def model_of(head, key):
    def make():
        body = SequenceModel((11, 3), width=4, depth=2, filter=FILTER, key=key)
        return Classifier(body, head(body.out_shape, 5, key=key))

    return eqx.nn.make_with_state(make)()


def test_gated_is_its_formula(getkey):
    layer = nn.Gated(4, filter=FILTER, short=2, key=getkey())
    x = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    wide = np.asarray(x @ layer.project.weight + layer.project.bias, np.float64)
    before = np.pad(wide, ((1, 0), (0, 0)))[:-1]
    taps = np.asarray(layer.short.weight)[:, 0]
    q, k, v = np.split(taps[0] * before + taps[1] * wide + layer.short.bias, 3, axis=-1)
    kernel, u = np.asarray(layer.long.filter.kernel(9), np.float64), k * v
    mixed = [sum(kernel[lag] * u[i - lag] for lag in range(i + 1)) for i in range(9)]
    expected = (q * (np.stack(mixed) + layer.long.skip * u)) @ layer.out.weight + layer.out.bias
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [11, 20])
def test_every_position_sees_its_past_and_nothing_later(length, getkey):
    head = functools.partial(ConvHead, pool="none")
    model, state = model_of(head, getkey())
    run = eqx.filter_jit(lambda x: model(x, state)[0])
    x = np.random.default_rng(0).standard_normal((2, length, 3)).astype(np.float32)
    y, changed = run(jnp.asarray(x)), x.copy()
    assert y.shape == (2, length, 5)
    changed[:, 7] += 1
    after = run(jnp.asarray(changed))
    np.testing.assert_array_equal(y[:, :7], after[:, :7])
    assert np.abs(y - after)[:, 7:].max(-1).min() > 0


def test_a_pooled_head_gives_an_example_its_scores(getkey):
    model, state = model_of(LinearHead, getkey())
    run = eqx.filter_value_and_grad(lambda m, x: (m(x, state)[0] ** 2).sum())
    value, gradient = eqx.filter_jit(run)(model, jnp.ones((2, 11, 3)))
    assert np.isfinite(value) and model(jnp.ones((2, 20, 3)), state)[0].shape == (2, 5)
    norms = [float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient)]
    assert all(np.isfinite(norms)) and np.mean(np.array(norms) > 0) > 0.9


def test_images_are_refused(getkey):
    with pytest.raises(ValueError, match=r"^in_shape: expected a sequence's \(n, c\), got"):
        SequenceModel((8, 8, 1), key=getkey())


def test_tokens_are_embedded(getkey):
    layer = nn.Embedding(6, 4, key=getkey())
    tokens = np.random.default_rng(0).integers(0, 6, (2, 11))
    one_hot = np.eye(6, dtype=np.float32)[tokens]
    np.testing.assert_allclose(layer(jnp.asarray(tokens)), one_hot @ layer.weight, rtol=1e-6)
    assert layer.output_shape((11,)) == (11, 4) and layer.multiply_adds((11,)) == 0
    with pytest.raises(ValueError, match=r"^x: expected tokens, whole numbers, got float32"):
        layer(jnp.ones(11))
    body = SequenceModel((11,), width=4, depth=1, filter=FILTER, vocabulary=6, key=getkey())
    assert body.out_shape == (11, 4) and body.stages[0].layers[0].weight.shape == (6, 4)
    for shape, vocabulary in (((11, 3), 6), ((11,), None)):
        with pytest.raises(ValueError, match=r"^in_shape: expected a sequence's \(n"):
            SequenceModel(shape, vocabulary=vocabulary, key=getkey())


def test_the_ten_lines_of_the_documentation():
    page = Path(__file__).parents[2] / "docs" / "sequences.md"
    [example] = [
        block
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
        if "cnnlab.fit" in block
    ]
    assert len([line for line in example.splitlines() if line]) <= 10
    found = {}
    exec(compile(example, "recall.py", "exec"), found)
    accuracy = found["fitted"].history["accuracy"]
    assert accuracy[0] < 0.3 and accuracy[-20:].mean() > 0.8
