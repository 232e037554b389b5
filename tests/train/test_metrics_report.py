"""Records, trackers, and the numbers and pictures of an evaluation."""

import itertools
import json
import struct
import sys
import time
import types

import numpy as np
import pytest
from PIL import Image

from cnnlab.train import report
from cnnlab.train.evaluate import Evaluation
from cnnlab.train.metrics import JsonLines, Loggers, MLflow, TensorBoard, WandB, read_lines
from cnnlab.train.tasks import Classification

RECORD = {"step": 3, "kind": "train", "loss": 0.5, "accuracy": 0.75}


def evaluation():
    label = np.array([0, 0, 1, 1, 2, 2, 2])
    said = np.array([0, 1, 1, 1, 2, 0, 2])
    return Evaluation(np.eye(3)[said] * 0.7 + 0.1, label, Classification(("ant", "bee", "cat")))


def test_numbers_of_an_evaluation():
    e = evaluation()
    assert e.accuracy == 5 / 7
    np.testing.assert_array_equal(e.confusion(), [[1, 1, 0], [0, 2, 0], [1, 0, 2]])
    np.testing.assert_allclose(e.loss, -(5 * np.log(0.8) + 2 * np.log(0.1)) / 7)


def test_per_class_table():
    lines = report.table(evaluation()).splitlines()
    assert lines[1].split() == ["ant", "2", "0.5000", "0.5000", "bee", "(1)"]
    assert lines[2].split() == ["bee", "2", "1.0000", "0.6667", "-"]


def test_records_survive_and_are_cut_at_a_resume(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = JsonLines(path, upto=0)
    for step in (1, 2, 3):
        lines.log({**RECORD, "step": step})
    lines.close()
    path.write_text(path.read_text() + '{"step": 4, "ki')
    resumed = JsonLines(path, upto=2)
    resumed.log({**RECORD, "step": 3, "loss": 0.25})
    resumed.close()
    assert [(r["step"], r["loss"]) for r in read_lines(path)] == [(1, 0.5), (2, 0.5), (3, 0.25)]


def test_tensorboard_writes_scalars(tmp_path):
    event_pb2 = pytest.importorskip(
        "tensorboardX.proto.event_pb2", reason="tensorboardX is not installed"
    )
    tracker = TensorBoard()
    tracker.start(tmp_path, {}, 7)
    tracker.log(RECORD)
    picture = tmp_path / "curves.png"
    Image.new("RGBA", (4, 3)).save(picture)
    tracker.picture(picture, 3)
    tracker.close()
    files = sorted((tmp_path / "tensorboard").iterdir(), key=lambda file: file.suffix == ".end")
    found = [
        event_pb2.Event.FromString(record) for file in files for record in tensorboard_records(file)
    ]
    starts = [event.step for event in found if event.session_log.status == 1]
    tags = [value.tag for event in found for value in event.summary.value]
    assert starts == [8]  # TensorBoard drops what was logged of this step and later ones
    assert tags == ["train/loss", "train/accuracy", "curves"]


def test_tensorboard_shows_no_point_twice_after_kills(tmp_path, monkeypatch):
    """Killed while it trained, and once more when it had tested: each number of each step once, as
    TensorBoard reads: a start drops what came before of its step and later ones."""
    event_pb2 = pytest.importorskip(
        "tensorboardX.proto.event_pb2", reason="tensorboardX is not installed"
    )
    seconds = itertools.count(1_700_000_000.0)  # a file is named by its second
    monkeypatch.setattr(time, "time", lambda: next(seconds))
    picture = tmp_path / "curves.png"
    Image.new("RGB", (4, 3)).save(picture)
    trackers = []
    for start, steps, tests in ((0, (1, 2, 3), False), (2, (3, 4), True), (4, (), True)):
        trackers.append(tracker := TensorBoard())
        tracker.start(tmp_path, {}, start)
        for step in steps:
            tracker.log({**RECORD, "step": step})
        if tests:
            tracker.log({**RECORD, "step": 4, "kind": "test"})
            tracker.picture(picture, 4)  # and a kill
    points = []
    for file in sorted((tmp_path / "tensorboard").iterdir()):
        for record in tensorboard_records(file):
            event = event_pb2.Event.FromString(record)
            if event.session_log.status == 1:
                points = [point for point in points if point[1] < event.step]
            points += [(value.tag, event.step) for value in event.summary.value]
    expected = [(f"train/{name}", step) for step in (1, 2, 3, 4) for name in ("loss", "accuracy")]
    expected += [("test/loss", 4), ("test/accuracy", 4), ("curves", 4)]
    for tracker in trackers:
        tracker.close()
    assert sorted(points) == sorted(expected)


def tensorboard_records(path):
    """The framing of TensorFlow's record files: length, its checksum, the record, its checksum."""
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield content[12 : 12 + length]
        content = content[16 + length :]


def test_wandb_and_mlflow_get_the_record(tmp_path, monkeypatch):
    calls = []
    run = types.SimpleNamespace(
        log=lambda numbers, step: calls.append(("wandb", numbers, step)), finish=lambda: None
    )
    wandb = types.SimpleNamespace(
        __spec__="here",
        init=lambda **kwargs: calls.append(kwargs["id"]) or run,
        Image=lambda path: path,
    )
    mlflow = types.SimpleNamespace(
        __spec__="here",
        set_tracking_uri=lambda uri: calls.append(uri.split(":")[0]),
        set_experiment=lambda name: None,
        start_run=lambda run_name: MLFLOW_RUN,
        log_dict=lambda config, name: calls.append(config),
        log_metrics=lambda numbers, step: calls.append(("mlflow", numbers, step)),
        log_artifact=lambda path: calls.append(("mlflow", path)),
        end_run=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    loggers = [WandB(mode="offline"), MLflow()]
    every = Loggers(JsonLines(tmp_path / "m", upto=0), loggers)
    every.start(tmp_path / "abc-s0", {"x": 1}, 0)
    every.log(RECORD)
    every.finish({**RECORD, "kind": "test"}, [tmp_path / "curves.png"])
    every.close()
    numbers = {"train/loss": 0.5, "train/accuracy": 0.75}
    tested = {"test/loss": 0.5, "test/accuracy": 0.75}
    assert calls == [
        f"{tmp_path.name}-abc-s0",
        "sqlite",
        {"x": 1},
        ("wandb", numbers, 3),
        ("mlflow", numbers, 3),
        ("wandb", tested, 3),
        ("wandb", {"curves": str(tmp_path / "curves.png")}, 3),
        ("mlflow", tested, 3),
        ("mlflow", str(tmp_path / "curves.png")),
    ]
    assert json.loads((tmp_path / "m").read_text()) == RECORD


MLFLOW_RUN = types.SimpleNamespace(info=types.SimpleNamespace(run_id="0" * 32))


class MlflowServer:
    """As much of the package `mlflow` as a run needs, with what it was told."""

    __spec__ = "here"
    MlflowException = RuntimeError

    def __init__(self):
        self.runs = {}
        self.set_tracking_uri = self.set_experiment = lambda _: None
        self.log_dict = self.end_run = lambda *_: None
        self.MlflowClient = lambda: self

    def start_run(self, run_name=None, run_id=None):
        if run_id is not None and run_id not in self.runs:
            raise self.MlflowException(f"Run '{run_id}' not found")
        self.now = run_id or f"{len(self.runs) + 1:032x}"
        points = self.runs.setdefault(self.now, [])
        data = types.SimpleNamespace(metrics={name for name, _ in points})
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=self.now), data=data)

    def log_metrics(self, numbers, step):
        self.runs[self.now] += [(name, step) for name in numbers]

    def get_metric_history(self, run_id, name):
        return [types.SimpleNamespace(step=at) for key, at in self.runs[run_id] if key == name]


@pytest.mark.parametrize(
    ("tracker", "package"), [(TensorBoard, "tensorboardX"), (WandB, "wandb"), (MLflow, "mlflow")]
)
def test_what_is_not_installed_is_said_before_any_work(tracker, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"^{package} is not installed; .*'cnnlab\[tracking\]'"):
        tracker()


def test_mlflow_goes_on_with_its_run(tmp_path, monkeypatch):
    """What was logged after the checkpoint is not logged twice; a lost run is begun again."""
    server = MlflowServer()
    monkeypatch.setitem(sys.modules, "mlflow", server)

    def log(*steps):
        tracker = MLflow()
        tracker.start(tmp_path, {}, steps[0] - 1)
        for step in steps:
            tracker.log({"step": step, "kind": "train", "loss": 0.5})
        tracker.close()

    log(1, 2, 3)
    log(2, 3, 4)
    [points] = server.runs.values()
    assert points == [("train/loss", step) for step in (1, 2, 3, 4)]
    server.runs = {"f" * 32: []}
    log(5)
    (tmp_path / "mlflow-run").write_text("../../elsewhere")
    log(6)
    assert [len(points) for points in server.runs.values()] == [0, 1, 1]


def test_a_curve_of_one_point_can_be_seen(tmp_path, monkeypatch):
    lines = JsonLines(tmp_path / "metrics.jsonl", upto=0)
    lines.log({**RECORD, "step": 15})
    lines.close()
    drawn = []
    monkeypatch.setattr(report, "write_figure", lambda path, figure: drawn.append(figure))
    report.curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    for axes in drawn[0].axes:
        [line] = axes.lines
        assert line.get_marker() == "o"
        assert all(step.is_integer() for step in axes.get_xticks())


def test_pictures_show_something(tmp_path, drawn):
    lines = JsonLines(tmp_path / "metrics.jsonl", upto=0)
    for step in range(1, 9):
        lines.log({**RECORD, "step": step, "loss": 1 / step})
    lines.log({"step": 8, "kind": "val", "loss": 0.4, "accuracy": 0.8})
    lines.close()
    report.curves(tmp_path / "metrics.jsonl", tmp_path / "figures" / "curves.png")
    report.picture(evaluation(), tmp_path / "figures")
    for name in ("curves", "confusion"):
        pixels = np.asarray(Image.open(tmp_path / "figures" / f"{name}.png").convert("L"))
        assert min(pixels.shape) > 300
        assert len(np.unique(pixels)) > 20
