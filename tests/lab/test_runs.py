"""Runs beside each other, against SciPy's paired test and by hand."""

import json

import pytest
from omegaconf import OmegaConf
from scipy.stats import ttest_rel

from cnnlab.config.job import Jobs, Outcome
from cnnlab.errors import CnnlabError, ConfigError
from cnnlab.lab import compare_runs
from cnnlab.train.rundir import RunDirectory

A = [0.91, 0.92, 0.90, 0.93]
B = [0.90, 0.905, 0.895, 0.912]


@pytest.fixture
def run(tmp_path):
    """Makes a run directory as training does, of a config that differs in some keys."""

    def make(score, seed=0, judge="accuracy", complete=True, **changes):
        config = OmegaConf.create(
            {
                **{"seed": seed, "name": "x", "output": "o", "progress": seed > 1, "batch_size": 8},
                "conv": {"_target_": "cnnlab.nn.Dense", "padding": "SAME"},
                "optimizer": {"_target_": "cnnlab.train.optim.sgd", "lr": 0.1},
                "backbone": {"plan": [4, "M"]},
            }
        )
        for key, value in changes.items():
            OmegaConf.update(config, key.replace("__", "."), value, merge=False, force_add=True)
        number = len(list(tmp_path.glob("train/*")))
        directory = RunDirectory(tmp_path / "train" / f"{number}-s{seed}")
        directory.begin(OmegaConf.to_yaml(config))
        if complete:
            best = {f"best_validation_{judge}": 1.0}
            directory.write_result({f"test_{judge}": score, "seed": seed, "name": "x", **best})
        return directory.path

    return make


def test_settings_over_seeds(run, tmp_path):
    for seed, (a, b) in enumerate(zip(A, B, strict=True)):
        run(b, seed)
        run(a, seed, optimizer__lr=0.3)
    run(0.1, 9, optimizer__lr=0.5)
    run(0.0, 5, complete=False)
    found = compare_runs(tmp_path / "train")
    assert (found.metric, found.unfinished, found.best) == ("test_accuracy", 1, "optimizer.lr=0.3")
    assert list(found.scores) == ["optimizer.lr=0.3", "optimizer.lr=0.1", "optimizer.lr=0.5"]
    assert found.scores["optimizer.lr=0.1"] == dict(enumerate(B))
    difference, interval = found.behind("optimizer.lr=0.1"), ttest_rel(B, A).confidence_interval()
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    _, first, second, third = found.rows()
    assert first == ["optimizer.lr=0.3", 4, "0.915", "0.013", "", "", ""]
    assert second[:3] == ["optimizer.lr=0.1", 4, "0.903"] and second[-1] == "told apart"
    assert third == ["optimizer.lr=0.5", 1, "0.1", "-", "-", "-", "-"]  # no seed in common
    assert "each interval" in found.notes()[1]
    alone = compare_runs(tmp_path / "train" / "8-s9")
    assert alone.notes() == [f"best: {alone.best}"]


def test_runs_of_a_search_are_told_apart_by_their_settings_alone(run, tmp_path):
    """Not by the number of the trial, or the search that made them: a logger's business."""
    for number, (lr, seed) in enumerate([(0.3, 0), (0.1, 0), (0.1, 1), (0.3, 1)]):
        run(lr, seed, optimizer__lr=lr, logger={"trial": {"number": number}})
    scores = compare_runs(tmp_path / "train").scores
    assert scores == {"optimizer.lr=0.3": {0: 0.3, 1: 0.3}, "optimizer.lr=0.1": {0: 0.1, 1: 0.1}}


def test_how_many_seeds_would_tell_two_apart(run):
    """Were mean and deviation to stay: then the interval of so many excludes 0, and no fewer."""
    runs = [run(score, seed) for seed, score in enumerate([0.90, 0.90])]
    runs += [run(score, seed, batch_size=9) for seed, score in enumerate([0.91, 0.95])]
    found = compare_runs(runs)
    more = int(found.rows()[2][-1])
    d = [-0.01, -0.05]
    mean, deviation = sum(d) / 2, abs(d[0] - d[1]) / 2**0.5
    from scipy.stats import t

    excludes = lambda n: t.ppf(0.975, n - 1) * deviation / n**0.5 < abs(mean)
    assert excludes(2 + more) and not excludes(1 + more)


def test_what_is_varied_is_said_in_as_few_words_as_tell(run):
    """A kind of layer brings its own keys along; what is no part of the result is no setting."""
    other = {"conv": {"_target_": "cnnlab.nn.Separable", "depth": 2}}
    runs = [
        run(0.1),
        run(0.2, **other),
        run(0.3, backbone__plan=[8]),
        run(0.4, name="y", **other, seed=1),
    ]
    found = compare_runs(runs)
    assert set(found.scores) == {
        "conv=Dense backbone.plan=[4,'M']", "conv=Dense backbone.plan=[8]",
        "conv=Separable backbone.plan=[4,'M']",
    }  # fmt: skip
    assert found.scores["conv=Separable backbone.plan=[4,'M']"] == {0: 0.2, 1: 0.4}


def test_what_the_names_leave_out_is_said(run):
    """Kinds of things are always named; of numbers as many as tell apart."""
    kind = {"_target_": "cnnlab.train.optim.adam", "lr": 0.1}
    found = compare_runs([run(0.1), run(0.2, batch_size=9, steps=5, conv__padding="VALID")])
    assert set(found.scores) == {"batch_size=8", "batch_size=9"}
    assert found.notes() == ["best: batch_size=9", "they differ in steps, conv.padding, too"]
    found = compare_runs([run(0.1), run(0.2, optimizer=kind, conv={"_target_": "cnnlab.nn.Long"})])
    assert found.best == "conv=Long optimizer=adam"
    assert found.notes() == [f"best: {found.best}"]  # the padding is one of the other layer


def test_scores_on_different_data_have_no_best(run):
    data = [{"_target_": f"cnnlab.data.{name}"} for name in ("mnist", "digits")]
    found = compare_runs([run(0.1, data=data[0]), run(0.9, data=data[1])])
    assert found.notes() == [
        "data=digits and data=mnist are different tasks: no score is the better one"
    ]
    assert [row[4:] for row in found.rows()[1:]] == [["", "", ""]] * 2  # nor a distance from it


@pytest.mark.parametrize(("judge", "best"), [("mean_absolute_error", 0.1), ("r2", 0.2)])
def test_the_best_is_the_lowest_of_errors(run, judge, best):
    runs = [run(0.2, judge=judge), run(0.1, judge=judge, batch_size=9)]
    found = compare_runs(runs)
    assert next(iter(found.scores[found.best].values())) == best


def test_a_page_a_picture_and_a_table(run, tmp_path):
    runs = [run(0.1), run(0.2, batch_size=9)]
    jobs = Jobs(tmp_path / "sweep")
    for i, path in enumerate(runs):
        jobs.write(Outcome((f"batch_size={i}",), "done", run=str(path)))
    page = compare_runs(tmp_path / "sweep").write(tmp_path / "out")
    assert "batch_size=9" in page.read_text() and "data:image/png;base64" in page.read_text()
    assert "| batch_size=9 | 1 | 0.2 |" in page.with_suffix(".md").read_text()
    assert page.with_suffix(".png").stat().st_size > 5000


def test_the_axis_shows_the_scores_not_the_whole_of_a_wide_interval(run):
    """Of two seeds the interval is 12.7 times as long as between them."""
    [axes] = compare_runs([run(0.90, 0), run(0.92, 1), run(0.91, 0, batch_size=9)]).figure().axes
    low, high = axes.get_xlim()
    assert 0.87 < low < 0.90 and 0.92 < high < 0.95
    assert axes.get_ylim() == (1.5, -0.5)  # and no mark lies on the frame


def test_refusals(run, tmp_path):
    with pytest.raises(ConfigError, match=r"^runs: expected run directories"):
        compare_runs(tmp_path)
    one = run(0.1)
    with pytest.raises(ConfigError, match=r"^metric: .* has no test_r2; it has best_validation_a"):
        compare_runs([one, one], metric="test_r2")
    with pytest.raises(CnnlabError, match=r"another run has the same settings and seed"):
        compare_runs([one, run(0.2, name="y")])
    with pytest.raises(ConfigError, match=r"^runs: none of 1 runs is complete"):
        compare_runs(run(0.2, complete=False))
    result = one / "result.json"
    result.write_text(json.dumps({"test_accuracy": 0.5, "seed": 1}))
    with pytest.raises(CnnlabError, match=r"result.json: it does not say the metric"):
        compare_runs(one)
