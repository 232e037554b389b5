"""Each task in a run: what is measured, drawn, predicted, kept; and what is refused."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.config import ConfigError, build, build_finetune, check_config, compose, load_predictor
from cnnlab.config.tree import plain
from cnnlab.data.labels import labels_of
from cnnlab.errors import CnnlabError
from cnnlab.train import Pmap, Shard, losses, report
from cnnlab.train.metrics import read_lines
from cnnlab.train.scores import scored
from cnnlab.train.tasks import Regression, task_of

SMALL = (  # as many examples to validate as to test: one compiled program for both
    *("data=scattered_digits", "data.train_size=52", "data.test_size=21", "data.val_fraction=0.4"),
    *("backbone.plan=[3]", "norm=none", "optimizer=sgd", "batch_size=16", "eval_batch_size=8"),
    *("steps=3", "log_every.steps=1", "evaluate_every.steps=1", "progress=false"),
)
TASKS = {
    "present": ("loss=binary_cross_entropy", "loss.positive_weights=balanced"),
    "sum": ("data.labels=sum", "loss=huber", "select=best"),
    "map": (
        *("data.labels=map", "loss=per_position_cross_entropy", "head=conv", "head.pool=none"),
        *("augment=[cutout]", "label_smoothing=0.1", "metrics=[loss,f1]"),
    ),
}


def make(folder, labels, *overrides):
    return build(compose([*SMALL, *TASKS[labels], f"output={folder}", *overrides]))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Of each task an experiment and its result."""
    folder = tmp_path_factory.mktemp("tasks")
    made = {labels: make(folder, labels) for labels in TASKS}
    return {labels: (experiment, experiment.run()) for labels, experiment in made.items()}


@pytest.mark.parametrize(
    ("labels", "scores", "picture", "columns"),
    [
        ("present", ("f1", "auroc", "accuracy"), "labels", "label examples recall"),
        ("sum", ("r2", "mean_absolute_error"), "predictions", "number R2 mean error"),
        ("map", ("loss", "f1"), "confusion", "class examples recall"),
    ],
)
def test_a_run_measures_and_draws_what_its_task_has(runs, labels, scores, picture, columns):
    experiment, result = runs[labels]
    model, state, _ = experiment.trained("best" if labels == "sum" else "last")
    evaluation = experiment.evaluator(experiment.data.test)(model, state)
    found = scored(evaluation, experiment.metrics)
    assert tuple(experiment.metrics) == scores
    assert {name: result[f"test_{name}"] for name in found} == found
    assert result[f"test_{scores[0]}_single_view"] == found[scores[0]]
    records = read_lines(experiment.directory.metrics)
    seen = [r[scores[0]] for r in records if r["kind"] == "val"]
    best = min if labels == "map" else max
    assert len(seen) == 3 and result[f"best_validation_{scores[0]}"] == best(seen)
    assert ("accuracy" in records[0]) == (labels != "sum")
    for name in (picture, "curves"):
        assert (experiment.directory.figures / f"{name}.png").stat().st_size > 5000
    table = report.table(evaluation).splitlines()
    assert table[0].split()[:3] == columns.split()[:3]
    assert len(table) == 1 + len(experiment.data.class_names)
    assert type(experiment)(**vars(experiment)).run() == result  # it is complete


def test_the_loss_of_a_run_is_the_one_that_was_asked_for(runs):
    """At its first step, by hand."""
    for labels in ("sum", "present"):
        experiment, _ = runs[labels]
        label = labels_of(experiment.data.train).astype(np.float64)
        batches = experiment.train_loader
        raw = batches.fetch(batches.resident, next(batches.handles()))
        images = (np.asarray(raw.image, np.float32) - experiment.data.mean) / experiment.data.std
        logits, _ = experiment.model(jnp.asarray(images), experiment.model_state)
        z, y = (np.asarray(x, np.float64) for x in (logits, raw.label))
        if labels == "sum":
            off = np.abs(z - (y - label.mean(0)) / label.std(0))
            expected = np.where(off <= 1, off**2 / 2, off - 0.5).mean()
        else:
            weight = (1 - label).sum(0) / label.sum(0)
            expected = (weight * y * np.log1p(np.exp(-z)) + (1 - y) * np.log1p(np.exp(z))).mean()
        first = read_lines(experiment.directory.metrics)[0]
        np.testing.assert_allclose(first["loss"], expected, rtol=1e-4)


def test_numbers_are_answered_in_their_units(runs):
    task = task_of(runs["sum"][0].data)
    assert isinstance(task, Regression) and task.names == ("number of digits", "sum of digits")
    label = runs["sum"][0].data.train.label
    target = task.target(jnp.asarray(label))
    np.testing.assert_allclose(target.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(target, axis=0), 1, rtol=1e-4)
    np.testing.assert_allclose(task.answer(target), label, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(task.logits(label), target, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("labels", TASKS)
def test_a_predictor_answers_as_the_evaluation_does(runs, labels):
    experiment, _ = runs[labels]
    model, state, _ = experiment.trained()
    answers = experiment.evaluator(experiment.data.test)(model, state).answers
    predictor = load_predictor(experiment.directory.path)
    image = experiment.data.test.image[3]
    np.testing.assert_allclose(predictor(image), answers[3], rtol=1e-4, atol=1e-6)
    top = predictor.top(image, 2)
    lines = [predictor.task.line(*one) for one in top]
    if labels == "sum":
        assert [name for name, _ in top] == ["number of digits", "sum of digits"]
        np.testing.assert_allclose([number for _, number in top], answers[3], rtol=1e-4)
        assert lines[1] == f"{top[1][1]:.4g}  sum of digits"
    elif labels == "present":
        order = [int(name) for name, _ in top]
        assert order == list(np.argsort(-answers[3]))[: max(2, (answers[3] > 0.5).sum())]
        assert [line.startswith("+ ") for line in lines] == [p > 0.5 for _, p in top]
    else:
        classes, counts = np.unique(answers[3].argmax(-1), return_counts=True)
        first = predictor.class_names[classes[counts.argmax()]]
        assert top[0] == (first, pytest.approx(counts.max() / 576))


def test_scores_are_those_of_the_whole_split_on_any_devices(runs):
    """And not the mean of their batches, which is another number."""
    experiment, result = runs["present"]
    model, state, _ = experiment.trained()
    for runtime in (Pmap(2), Shard(2)):
        other = type(experiment)(**{**vars(experiment), "runtime": runtime})
        found = scored(other.evaluator(other.data.test)(model, state), other.metrics)
        for name, value in found.items():
            np.testing.assert_allclose(value, result[f"test_{name}"], rtol=1e-5)
    whole = experiment.evaluator(experiment.data.test)(model, state)
    halves = [
        whole._replace(answers=whole.answers[part], label=whole.label[part])
        for part in (slice(0, 8), slice(8, 16), slice(16, 21))
    ]
    mean = np.mean([scored(half, experiment.metrics)["auroc"] for half in halves])
    assert abs(mean - result["test_auroc"]) > 1e-3


def test_resuming_repeats_the_run(runs, tmp_path):
    _, result = runs["sum"]
    stopped = make(tmp_path, "sum", "checkpoint_every.steps=1")
    handles = stopped.train_loader.handles

    def lost(start=0):
        yield from itertools.islice(handles(start), 2)
        raise ConnectionError

    stopped.train_loader.handles = lost
    with pytest.raises(CnnlabError):
        stopped.run()
    again = make(tmp_path, "sum", "checkpoint_every.steps=1").run()
    timed = ("seconds", "peak", "device", "versions")
    same = lambda result: {k: v for k, v in result.items() if not any(t in k for t in timed)}
    assert same(again) == same(result)


def test_a_backbone_goes_from_task_to_task(runs, tmp_path):
    run = runs["present"][0].directory.path
    settings = [s for s in SMALL if not s.startswith(("backbone", "norm"))]
    cfg = compose([f"run={run}", *settings, *TASKS["sum"], f"output={tmp_path}"], "finetune")
    experiment, loaded = build_finetune(cfg)
    assert not loaded.mismatched and experiment.run()["test_r2"] is not None


def test_a_run_of_before_there_were_losses_has_the_cross_entropy():
    cfg = plain(compose([]))
    known = cfg.pop("loss")
    assert check_config(cfg).loss == known
    with pytest.raises(ConfigError, match=r"^head: required"):
        check_config({k: v for k, v in cfg.items() if k != "head"})


def test_fit_takes_the_task_of_the_data(runs):
    experiment, _ = runs["sum"]
    options = {"optimizer": experiment.optimizer, "steps": 2, "batch_size": 16}
    fitted = cnnlab.fit(
        experiment.model,
        experiment.data,
        state=experiment.model_state,
        loss=losses.MeanSquaredError(),
        **options,
    )
    assert fitted.history["loss"].shape == (2,) and "accuracy" not in fitted.history
    with pytest.raises(ValueError, match=r"^loss: expected mean_squared_error or huber"):
        cnnlab.fit(experiment.model, experiment.data, state=experiment.model_state, **options)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data.labels=sum",), "loss: expected mean_squared_error or huber, .* got cross_entropy"),
        (("data=fake", "loss=huber"), "loss: expected cross_entropy, as the labels of fake are of"),
        (("data=fake", "loss=huber", "loss.delta=0"), "loss.delta: expected a number > 0, got 0"),
        (("data=fake", "loss.class_weights=[1,2]"), "loss.class_weights: expected 10 numbers"),
        (("data=fake", "loss.class_weights=much"), "loss.class_weights: expected 'balanced' or"),
        (
            ("data=fake", "data.num_classes=3", "metrics=top5_accuracy"),
            "metrics: expected top5_accuracy of more than 5 classes only, there are 3",
        ),
        (("data=fake", "metrics=[r2]"), "metrics: expected some of loss, accuracy, .*, got 'r2'"),
        (("data=fake", "metrics=[acuracy]"), r"metrics\[0\]: .*did you mean accuracy"),
        ((*TASKS["sum"], "label_smoothing=0.1"), "label_smoothing: expected 0 for regression"),
        ((*TASKS["sum"], "augment=[mixup]"), "augment: Mixup mixes classes, the labels are"),
        ((*TASKS["map"], "augment=[flip]"), "augment: Flip moves the image"),
        ((*TASKS["map"], "tta=flip"), "tta: expected none, as other views move the image"),
        (
            (*TASKS["map"], "head.pool=avg"),
            r"head: expected scores at \[24, 24\] positions, .* of whole examples; a backbone that",
        ),
        (
            (*TASKS["map"], "backbone.plan=[3,M]"),
            r"head: expected scores at \[24, 24\] positions, .* got them at \[12, 12\] positions",
        ),
        (
            ("data=fake", "head=conv", "head.pool=none"),
            r"head: expected scores of whole examples, as the labels are, got them at \[8, 8\]",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_line(overrides, message):
    own = [s for s in SMALL if not (s.startswith("data") and "data=fake" in overrides)]
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        build(compose([*own, *overrides]))
    assert "\n" not in str(caught.value)
