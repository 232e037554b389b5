"""`Study` against the command's own runs, and what it does beyond them."""

import jax
import numpy as np
import pytest
import sklearn.metrics

from cnnlab.config import build, compose
from cnnlab.data.splits import ArraySplit
from cnnlab.lab.baseline import logistic_regression
from cnnlab.lab.study import Study, classes_of, read_data, tuned
from cnnlab.models import named_arrays
from cnnlab.train import experiment
from cnnlab.train.checkpoint import read

TINY = {
    "data": "fake",
    "data.shape": [6, 6, 1],
    "data.num_classes": 4,
    "data.train_size": 96,
    "data.test_size": 40,
    "backbone.plan": [4, "M", 8],
    "augment": ["crop", "flip"],
    "augment.crop.padding": 1,
    "optimizer": "adam",
    "batch_size": 16,
    "eval_batch_size": 16,
    "limit_train": 64,
    "epochs": 2,
}


@pytest.fixture(scope="module")
def study():
    return Study(TINY)


def arrays(trained):
    return {k: np.asarray(v) for k, v in named_arrays(trained.model, trained.state).items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_seed_is_what_the_command_trains(tmp_path, average, study):
    settings = {**TINY, "average": average}
    overrides = [f"{key}={'null' if v is None else v}" for key, v in settings.items()]
    run = build(compose([*overrides, f"output={tmp_path}", "progress=false", "seed=3"]))
    result = run.run()
    model, state, steps = run.trained()
    ours = study if average is None else Study(settings)
    trained = ours.train(3)
    assert_same(arrays(trained), named_arrays(model, state))
    assert ours.evaluate(trained).accuracy == ours.score(trained) == result["test_accuracy"]
    assert ours.parameters == result["parameters"] and steps == 8
    checkpoint, _ = read(max(run.directory.checkpoints.glob("step-*")))
    assert checkpoint["step"] == 8


def test_compiled_once_for_all_seeds(monkeypatch):
    traced = []
    make = experiment.make_train_step

    def counting(*args, **options):
        step = make(*args, **options)

        def counted(*operands):
            traced.append(1)
            return step(*operands)

        return counted

    monkeypatch.setattr(experiment, "make_train_step", counting)
    study = Study({**TINY, "epochs": 1})
    trained = dict(study.seeds(0, 2))
    study.stepper(2)()
    study.train(0, start=study.on_backbone(1, trained[0]))
    assert len(traced) == 1
    first, second = (arrays(trained[seed]) for seed in (0, 1))
    assert any((first[name] != second[name]).any() for name in first)


def test_the_same_seed_again_is_the_same(study):
    assert_same(arrays(study.train(1)), arrays(study.train(1)))


def test_a_loss_that_is_not_finite():
    with pytest.raises(FloatingPointError, match="the loss is"):
        Study({**TINY, "optimizer.lr": 1e30, "norm": "none"}).train(0)


@pytest.mark.parametrize(
    ("labels", "loss", "score"),
    [("sum", "huber", "r2"), ("map", "per_position_cross_entropy", "mean_iou")],
)
def test_a_task_is_judged_by_its_own_score(labels, loss, score):
    head = {"head": "conv", "head.pool": "none"} if labels == "map" else {}
    study = Study({
        "data": "scattered_digits", "data.labels": labels, "data.train_size": 40,
        "data.test_size": 20, "loss": loss, "backbone.plan": [3], "norm": "none",
        "optimizer": "sgd", "batch_size": 16, "steps": 2, **head,
    })  # fmt: skip
    trained = study.train(0)
    assert np.isfinite(trained.loss) and (trained.accuracy is None) == (labels == "sum")
    evaluation = study.evaluate(trained)
    label = evaluation.label.reshape(len(evaluation.label), -1)
    if labels == "sum":
        expected = sklearn.metrics.r2_score(label, evaluation.answers)
    else:
        predicted = evaluation.predicted.reshape(-1)
        expected = sklearn.metrics.jaccard_score(label.reshape(-1), predicted, average="macro")
    assert study.experiment.judge == score and study.score(trained) == pytest.approx(expected)


def test_changed_test_images(study):
    trained = study.train(0)
    plain = study.evaluate(trained)
    same = study.evaluate(trained, lambda images: images, "same")
    np.testing.assert_array_equal(same.answers, plain.answers)
    wider = study.evaluate(trained, lambda images: np.tile(images, (1, 2, 1, 1)), "twice as high")
    assert wider.answers.shape == plain.answers.shape
    assert (wider.answers != plain.answers).any()


def test_some_classes(study):
    data = classes_of(study.data, [2, 0])
    assert (data.num_classes, data.class_names) == (2, ("class 2", "class 0"))
    for part, whole in ((data.train, study.data.train), (data.test, study.data.test)):
        image, label = part.in_memory().image, part.in_memory().label
        whole = whole.in_memory()
        for new, old in enumerate((2, 0)):
            np.testing.assert_array_equal(image[label == new], whole.image[whole.label == old])
        assert set(label) == {0, 1}


def test_a_frozen_backbone_stays_as_it_came(study):
    source = study.train(0)
    data = classes_of(study.data, [1, 3])
    transfer = Study({**TINY, "batch_size": 8, "limit_train": None}, data=data, frozen=True)
    start = transfer.on_backbone(5, source)
    trained = transfer.train(5, start)
    before, after = arrays(source), arrays(trained)
    for name, value in after.items():
        if name.startswith("backbone."):
            np.testing.assert_array_equal(value, before[name], err_msg=name)
    head = named_arrays(transfer.initial(5)[0])
    assert (after["head.linear.weight"] != head["head.linear.weight"]).any()
    assert transfer.evaluate(trained).answers.shape[1] == 2
    with pytest.raises(ValueError, match="mismatched"):
        Study({**TINY, "backbone.plan": [4, "M", 6]}).on_backbone(0, source)


def test_other_examples_to_train_on(study):
    memory = study.data.train.in_memory()
    few = np.resize(np.arange(4), len(memory))
    examples = ArraySplit(memory.image[few], memory.label[few])
    trained = study.train(0, examples=examples)
    assert (arrays(trained)["head.linear.bias"] != arrays(study.train(0))["head.linear.bias"]).any()
    assert jax.tree.structure(trained.model) == jax.tree.structure(study.initial(0)[0])


def test_the_rate_is_chosen_by_validation_examples(study):
    """Of three rates one does nothing, and one is too large to be finite."""
    settings = {key: value for key, value in TINY.items() if "augment" not in key}
    assert tuned(settings, [1e-9, 1e-2, 1e30], seed=1) == 1e-2
    with pytest.raises(FloatingPointError, match=r"any of the rates \[1e\+30, 2e\+30\]"):
        tuned(settings, [1e30, 2e30])
    trained, val = study.train(0), study.data.val.in_memory()
    everything = study.experiment.evaluator(study.data.val)(trained.model, trained.state)
    assert len(everything.label) == len(val.label) == 10
    assert study.validation(trained) == everything.accuracy != study.score(trained)


def test_logistic_regression_is_that_of_the_pixels():
    """200 of the 8x8 digits are enough for more than eight in ten."""
    data = read_data({"data": "digits"})
    found = logistic_regression(data, most=200)
    assert 0.8 < found < 0.97
    assert logistic_regression(data, most=200, seed=1) != found
