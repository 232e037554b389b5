"""Training in memory: the numbers of a run directory, of plain optax, and what it refuses."""

import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import cnnlab
from cnnlab import models, nn
from cnnlab.data.batches import epoch_order
from cnnlab.models import named_arrays
from cnnlab.train import History, NonFiniteLoss, Shard, Trainer, init_state, make_train_step
from cnnlab.train.checkpoint import read
from cnnlab.train.state import seed_keys

X = np.random.default_rng(0).standard_normal((20, 6, 2)).astype(np.float32)
Y = (X[:, 0, 0] > 0).astype(int)


class Net(eqx.Module):
    """One that has no state."""

    conv: nn.Conv1d
    linear: nn.Linear

    def __init__(self, key, outputs=2):
        self.conv = nn.Conv1d(2, 3, 3, key=key)
        self.linear = nn.Linear(3, outputs, key=key)

    def __call__(self, x):
        return self.linear(jax.nn.relu(self.conv(x)).mean(-2))


@pytest.fixture(scope="module")
def net():
    return Net(jr.key(3))


def fit(model, data=(X, Y), **options):
    given = {"optimizer": optax.adam(0.1), "steps": 7, "batch_size": 8, **options}
    return cnnlab.fit(model, data, **given)


def arrays(model):
    return jax.tree.leaves(eqx.filter(model, eqx.is_array))


def assert_same(one, other):
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_numbers_of_a_run_directory_to_the_bit(uninterrupted):
    experiment, result = uninterrupted
    fitted = cnnlab.fit(
        experiment.model,
        experiment.data,
        state=experiment.model_state,
        optimizer=experiment.optimizer,
        prepare=experiment.prepare,
        steps=12,
        batch_size=24,
        average=0.9,
    )
    saved, _ = read(max(experiment.directory.checkpoints.glob("step-*")))
    found = named_arrays(fitted.model, fitted.state)
    assert found.keys() == {k.removeprefix("average.") for k in saved if k.startswith("average.")}
    for name, value in found.items():
        np.testing.assert_array_equal(value, saved[f"average.{name}"], err_msg=name)
    test = experiment.evaluator(experiment.data.test)(fitted.model, fitted.state)
    assert test.loss == result["test_loss"]


def test_the_numbers_of_optax_by_hand(net):
    before = jax.tree.map(jnp.copy, eqx.filter(net, eqx.is_array))
    fitted = fit(net, seed=5)
    optimizer = optax.adam(0.1)
    params, static = eqx.partition(net, eqx.is_array)
    memory = optimizer.init(params)

    @jax.jit
    def loss(params, x, y):
        logits = eqx.combine(params, static)(x)
        return -jax.nn.log_softmax(logits)[jnp.arange(len(y)), y].mean()

    losses = []
    for step in range(7):
        epoch, place = divmod(step, 2)
        batch = epoch_order(20, 5, epoch)[8 * place :][:8]
        value, gradient = jax.value_and_grad(loss)(params, X[batch], Y[batch])
        updates, memory = optimizer.update(gradient, memory, params)
        params = optax.apply_updates(params, updates)
        losses.append(value)
    np.testing.assert_allclose(fitted.history["loss"], losses, rtol=1e-5)
    for a, b in zip(arrays(fitted.model), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert_same(net, before)  # as it was
    assert set(fitted.history) >= {"loss", "accuracy", "grad_norm"}


def test_examples_as_a_data_set_a_split_and_arrays(tiny):
    experiment = tiny()
    data, model, state = experiment.data, experiment.model, experiment.model_state
    memory = data.train.in_memory()
    pair = jnp.asarray(memory.image), jnp.asarray(memory.label)
    same = {"state": state, "steps": 3, "batch_size": 24}
    assert_same(fit(model, data.train, **same).model, fit(model, pair, **same).model)
    normalised = (memory.image - data.mean) / data.std, np.eye(4)[memory.label]
    for a, b in zip(
        arrays(fit(model, data, **same).model),
        arrays(fit(model, normalised, **same).model),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_callbacks_see_every_step_and_can_end_it(net):
    seen = []

    def watch(training):
        seen.append((training.step, float(training.metrics["loss"]), training.state().model))
        return training.step == 3

    history = History()
    fitted = fit(net, callbacks=[watch, history])
    assert [step for step, _, _ in seen] == [1, 2, 3]
    assert len(history.arrays()["loss"]) == 3  # the others are called, too
    np.testing.assert_array_equal(fitted.history["loss"], np.float32([loss for _, loss, _ in seen]))
    assert_same(fitted.model, seen[-1][2])
    assert_same(fitted.model, fit(net, steps=3).model)


def test_two_devices_and_a_moving_average(net):
    one, two = (fit(net, average=0.5, runtime=runtime) for runtime in (None, Shard(2)))
    for a, b in zip(arrays(one.model), arrays(two.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(one.model.linear.weight, fit(net).model.linear.weight)


def test_a_loss_of_ones_own():
    targets = X.sum((1, 2))[:, None]
    model = Net(jr.key(0), 1)
    squares = lambda found, wanted: jnp.square(found - wanted)[:, 0]
    fitted = fit(model, (X, targets), loss=squares, steps=60)
    assert "accuracy" not in fitted.history
    assert fitted.history["loss"][-1] < fitted.history["loss"][0] / 2
    two = {"loss": lambda found, wanted: jnp.square(found - wanted).mean(-1), "steps": 1}
    model_of_two = Net(jr.key(0), 2)
    assert "accuracy" not in fit(model_of_two, (X, np.hstack([targets, -targets])), **two).history
    assert "accuracy" in fit(model_of_two, (X, np.eye(2, dtype=np.float32)[Y]), **two).history
    mean = fit(model, (X, targets), loss=lambda *both: squares(*both).mean(), steps=3)
    assert_same(mean.model, fit(model, (X, targets), loss=squares, steps=3).model)


def test_a_model_that_still_holds_its_state():
    def make():
        backbone = models.VGG((6, 2), [3], norm=nn.BatchNorm, key=jr.key(0))
        return models.Classifier(backbone, models.LinearHead(backbone.out_shape, 2, key=jr.key(1)))

    whole = fit(make(), steps=2)
    model, state = eqx.nn.make_with_state(make)()
    parted = fit(model, state=state, steps=2)
    assert_same((whole.model, whole.state), (parted.model, parted.state))
    with pytest.raises(ValueError, match=r"^state: expected what eqx.nn.make_with_state gave"):
        fit(model)


def test_parameters_of_a_weak_type_are_those_of_their_type(net):
    weak = eqx.tree_at(lambda n: n.linear.bias, net, jnp.full(2, 0.0))
    assert weak.linear.bias.weak_type and not net.linear.bias.weak_type
    state = init_state(weak, eqx.nn.State(()), optax.adam(0.1), average=True, key=jr.key(0))
    assert not any(
        jax.typeof(leaf).weak_type for leaf in arrays((state.model, state.opt_state))
    )  # or a step would compile twice


def test_one_program_for_several_seeds(net):
    optimizer, traces = optax.sgd(0.1), []
    step = make_train_step(optimizer)

    def counted(state, batch):
        traces.append(1)
        return step(state, batch)

    trainer = Trainer(counted, lambda batch, key, step: batch, cnnlab.train.Jit())
    found = []
    for seed in (0, 1):
        state = init_state(net, eqx.nn.State(net), optimizer, average=False, key=seed_keys(seed)[1])
        batches = cnnlab.data.loader(cnnlab.data.ArraySplit(X, Y), 8, seed=seed)
        with trainer.start(state, batches) as training:
            training.upto(7)
            found.append(training.state().model)
    assert len(traces) == 1
    assert_same(found[1], fit(net, optimizer=optimizer, seed=1).model)
    assert not np.array_equal(found[0].linear.weight, found[1].linear.weight)


def test_what_reads_the_batches_is_closed(net):
    seen = []

    def press(training):
        seen.append(training._handles)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(net, callbacks=[press])
    assert seen[0].gi_frame is None


def test_a_loss_that_is_not_a_number_names_its_step(net):
    spoiled = lambda batch, key, step: batch._replace(
        image=jnp.where(step == 4, jnp.nan, batch.image)
    )
    with pytest.raises(NonFiniteLoss, match=r"^the loss is nan at step 5 of 7; try a smaller"):
        fit(net, prepare=spoiled)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": X}, r"data: expected a Dataset or a Split or \(an array, an array\), got"),
        (
            {"data": (X, np.array(0))},
            r"data: expected arrays of examples, got shapes \(20,.*\) and \(\)",
        ),
        ({"data": (X, Y * 1j)}, "data: label: expected 20 numbers, as many as images, got 20 of c"),
        ({"data": (X, Y + 1)}, "data: expected classes from 0 to 1, .*, got 2"),
        ({"data": (X, Y - 1)}, "data: expected classes from 0 to 1, .*, got -1"),
        ({"data": (X, Y[:, None])}, r"label: expected classes \(8,\) or targets \(8, 2\)"),
        ({"loss": lambda z, y: z[:, :1] - y}, r"loss: expected one .*, got shape \(8, 8\)"),
        ({"steps": 0}, "steps: expected an int > 0, got 0"),
        ({"batch_size": 21}, "batch_size: expected at most 20, the examples of the split, got 21"),
        ({"batch_size": 3, "runtime": Shard(2)}, "batch_size: expected a multiple of the 2 devic"),
        ({"average": 1.0}, "average: expected a number >= 0 and < 1, got 1.0"),
    ],
)
def test_refusals(net, options, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        fit(net, **options)
    assert "\n" not in str(caught.value)


def test_the_example_of_the_documentation(capsys):
    page = Path(__file__).parents[2] / "docs" / "extending.md"
    *_, example = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    exec(compile(example, "fit.py", "exec"), {})
    *steps, last = capsys.readouterr().out.splitlines()[:5]
    assert [line.split()[0] for line in steps] == ["50", "100", "150", "200"]
    assert float(steps[-1].split()[-1]) > 0.9 and float(last.split()[0]) < 0.2
