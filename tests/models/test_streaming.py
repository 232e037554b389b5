"""Models position by position: exactly what they give of the whole, or refused."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from cnnlab import nn
from cnnlab.models import VGG, Classifier, ConvHead, LinearHead, SequenceModel, Stream
from cnnlab.nn.factories import dense
from cnnlab.nn.filters import S4D, Hyena

HEAD = functools.partial(ConvHead, pool="none")
CAUSAL = functools.partial(dense, padding="CAUSAL")


def with_head(body, head, key):
    return eqx.nn.make_with_state(lambda: Classifier(body, head(body.out_shape, 5, key=key)))()


def sequence_model(filter, key, in_shape=(90, 3), **options):
    options = {"width": 16, "depth": 2, "dropout": 0.5, "filter": filter, **options}
    return with_head(SequenceModel(in_shape, **options, key=key), HEAD, key)


def vgg(plan, key, head=HEAD, **options):
    return with_head(VGG((90, 3), plan, key=key, **{"conv": CAUSAL, **options}), head, key)


MODES = functools.partial(S4D, modes=4)
MODELS = {
    "S4D": functools.partial(sequence_model, MODES),
    "Hyena": functools.partial(sequence_model, functools.partial(Hyena, span=40)),
    "plain convolutions": functools.partial(vgg, [4, 6]),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_and_steps_are_the_whole(name, getkey):
    model, state = MODELS[name](getkey())
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 75, 3)), jnp.float32)
    whole = eqx.filter_jit(eqx.nn.inference_mode(model))(x, state)[0]
    stream = model.stream(state)
    carry, first = eqx.filter_jit(Stream.prompt)(stream, x[:, :21])
    carry, many = eqx.filter_jit(Stream.steps)(stream, carry, x[:, 21:74])
    carry, last = eqx.filter_jit(Stream.step)(stream, carry, x[:, 74])
    found = jnp.concatenate([first, many, last[:, None]], 1)
    np.testing.assert_allclose(found, whole, atol=1e-5 * float(jnp.abs(whole).max()))
    _, alone = eqx.filter_jit(Stream.steps)(stream, stream.prompt(x[:, :0])[0], x)
    np.testing.assert_allclose(alone, whole, atol=1e-5 * float(jnp.abs(whole).max()))


@pytest.mark.parametrize("pool", ["avg", "sum", "max"])
def test_a_pooled_head_gives_what_it_gives_of_all_so_far(pool, getkey):
    head = functools.partial(LinearHead if pool == "avg" else ConvHead, pool=pool)
    model, state = vgg([4], getkey(), head=head)
    x = -jnp.abs(jr.normal(getkey(), (2, 12, 3)))
    stream = model.stream(state)
    expected = jnp.stack([model(x[:, :n], state)[0] for n in (4, 9, 12)], 1)
    carry, first = stream.prompt(x[:, :4])
    _, more = eqx.filter_jit(Stream.steps)(stream, carry, x[:, 4:])
    found = jnp.stack([first[:, 3], more[:, 4], more[:, 7]], 1)
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(jnp.abs(expected).max()))
    _, alone = eqx.filter_jit(Stream.steps)(stream, stream.prompt(x[:, :0])[0], x)
    np.testing.assert_allclose(alone[:, 3:], jnp.concatenate([first[:, 3:], more], 1), atol=1e-5)


@pytest.mark.parametrize(
    ("temperature", "model", "encode"),
    [
        (0.0, {"in_shape": (90,), "vocabulary": 5}, lambda tokens: tokens),
        (0.5, {"in_shape": (90, 5)}, lambda tokens: jax.nn.one_hot(tokens, 5)),
    ],
)
def test_tokens_are_drawn_from_the_models_scores(temperature, model, encode, getkey):
    model, state = sequence_model(MODES, getkey(), depth=1, **model)
    prompt, key = jnp.array([[1, 4, 0], [2, 2, 3]]), getkey()
    run = eqx.filter_jit(eqx.nn.inference_mode(model))
    tokens = np.zeros((2, 9), np.int32)  # of one length: what comes later changes nothing
    tokens[:, :3] = prompt
    for i, step_key in enumerate(jr.split(key, 6), 2):
        scores = run(encode(tokens), state)[0][:, i]
        tokens[:, i + 1] = jr.categorical(step_key, scores / (temperature or 1e-9))
    generate = eqx.filter_jit(Stream.generate)
    found = generate(
        model.stream(state), prompt, 6, key=key, encode=encode, temperature=temperature
    )
    np.testing.assert_array_equal(found, tokens[:, 3:])


class _Twice(eqx.Module):
    """A layer that runs twice, and what mixes positions otherwise where that is asked for."""

    conv: nn.Conv
    mix: bool
    in_shape = (9, 2)

    def __call__(self, x):
        y = self.conv(self.conv(x)) + x
        return y + jnp.roll(y, 1, -2) if self.mix else y


def test_a_layer_that_runs_twice_remembers_both(getkey):
    model = _Twice(nn.Conv1d(2, 2, 3, padding="CAUSAL", key=getkey()), mix=False)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 9, 2)), jnp.float32)
    stream = Stream(model)
    carry, first = stream.prompt(x[:, :4])
    found = jnp.concatenate([first, stream.steps(carry, x[:, 4:])[1]], 1)
    np.testing.assert_allclose(found, model(x), atol=1e-5)


class _Squeezed(eqx.Module):
    """Positions weighed by a pool over all, which a stream can't know; pooled again or not."""

    pool: nn.GlobalPool
    conv: nn.Conv
    last: bool
    in_shape = (9, 2)

    def __init__(self, key, last=False):
        self.pool, self.last = nn.GlobalPool("avg", 1), last
        self.conv = nn.Conv1d(2, 2, 3, padding="CAUSAL", key=key)

    def __call__(self, x):
        y = self.conv(x)
        y = y * jax.nn.sigmoid(self.pool(y).reshape(*y.shape[:-2], -1, 2))
        return self.pool(y) if self.last else y


GROUPS = functools.partial(nn.GroupNorm, groups=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda key: vgg([4], key, conv=dense),
            r"^model.backbone.stages\[0\].layers\[0\]: padding",
        ),
        (lambda key: vgg([4], key, norm=GROUPS), "^model: expected layers that are causal or see"),
        (lambda key: (_Twice(nn.Conv1d(2, 2, 1, key=key), True), None), "^model: expected layers"),
        (
            lambda key: vgg([4], key, head=functools.partial(LinearHead, pool="flatten")),
            r"^model: expected one of any number of positions: x: expected",
        ),
        (lambda key: (_Squeezed(key), None), "^model: expected a pool over all positions"),
        (lambda key: (_Squeezed(key, last=True), None), "^model: expected a pool over all"),
        (lambda key: vgg([4, "M"], key), "^model: expected an output for each"),
        (
            lambda key: with_head(VGG((8, 8, 1), [4], conv=dense, key=key), HEAD, key),
            "^model: expected one of sequences",
        ),
    ],
)
def test_what_is_not_causal_is_refused(make, message, getkey):
    with pytest.raises(ValueError, match=message):
        Stream(*make(getkey()))


def test_lengths_are_checked(getkey):
    model, state = sequence_model(MODES, getkey(), (90, 5), depth=1)
    stream, tokens = model.stream(state, length=12), jnp.zeros(3, jnp.int32)
    with pytest.raises(ValueError, match=r"^x: expected at most length=12 positions, got 13"):
        stream.prompt(jnp.zeros((13, 5)))
    for prompt, steps, options, message in [
        (tokens, 11, {}, "^steps: expected at most"),
        (tokens[:0], 1, {}, "^prompt: expected at least"),
        (tokens, 1, {"temperature": -1.0}, "^temperature: expected .* got -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            stream.generate(prompt, steps, key=getkey(), **options)
