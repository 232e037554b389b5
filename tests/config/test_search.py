"""Sweeps that search by Optuna: what they propose, how they go on after an end of whatever kind."""

import json
import re

import pytest
from hydra.core.hydra_config import HydraConfig

from cnnlab.claims import Claim, Held
from cnnlab.config import ConfigError
from cnnlab.config.job import Job
from cnnlab.config.overrides import parse
from cnnlab.config.search import space_of, values_of
from cnnlab.config.source import Source, default_directory
from cnnlab.errors import CnnlabError, Pruned

optuna = pytest.importorskip("optuna", reason="optuna: the extra sweeps")

from cnnlab.train.trial import Trial, open_study  # noqa: E402

SEARCH = ("hydra/sweeper=optuna", "x=interval(0.0,1.0)")


def trials(folder):
    """Number, state, and what was proposed of each."""
    study = open_study(folder)
    return [(t.number, t.state.name, t.params["x"]) for t in study.trials]


@pytest.fixture
def tried():
    """What a task was called with, and a task that fails at some calls."""
    calls = []

    def task(failures=None):
        def run(cfg):
            calls.append(cfg.x)
            error = (failures or {}).get(len(calls))
            if error is not None:
                raise error
            return -((cfg.x - 0.3) ** 2)

        return run

    return calls, task


def test_a_search_goes_on_after_any_end_as_if_nothing_had_disturbed_it(sweep, tried, tmp_path):
    """Fewer trials, more of them, an interrupt: the trial that was cut off is taken up."""
    calls, task = tried
    five = (*SEARCH, "hydra.sweeper.n_trials=5")
    status, *_, folder = sweep(task(), *five)
    undisturbed = trials(folder)
    assert status == 0 and [state for _, state, _ in undisturbed] == ["COMPLETE"] * 5
    folder.rename(tmp_path / "before")
    calls.clear()
    *_, same = sweep(task(), *SEARCH, "hydra.sweeper.n_trials=2")
    assert same == folder and trials(folder) == undisturbed[:2]
    status, *_ = sweep(task({4: KeyboardInterrupt()}), *five)
    assert status == 130 and len(calls) == 4
    sweep(task(), *five)
    assert calls[3] == calls[4] and len(calls) == 6  # the fourth twice
    assert trials(folder) == undisturbed
    sweep(task(), *five)
    assert len(calls) == 6


def test_the_best_is_said(sweep, tried, monkeypatch):
    lines = []
    monkeypatch.setattr("cnnlab.config.search.print", lines.append, raising=False)
    *_, folder = sweep(tried[1](), *SEARCH, "hydra.sweeper.n_trials=3")
    number, _, x = min(trials(folder), key=lambda trial: abs(trial[2] - 0.3))
    assert lines == [f"best of 3 trials: trial {number} (x={x}): {-((x - 0.3) ** 2):.6g}"]


def test_a_trial_that_failed_is_none_to_learn_from(sweep, tried):
    status, _, err, folder = sweep(
        tried[1]({2: CnnlabError("the disk is full"), 3: Pruned("worse")}),
        *SEARCH,
        "hydra.sweeper.n_trials=4",
    )
    assert [state for _, state, _ in trials(folder)] == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE"]
    assert status == 1 and "error: 1 of 4 jobs failed: job" in err


def test_a_trial_whose_process_ended_is_said_and_taken_up_by_the_same_command(
    sweep, tried, monkeypatch
):
    """It could not say so itself; in the same call it might end the next process, too."""
    three = (*SEARCH, "hydra.sweeper.n_trials=3")
    *_, folder = sweep(tried[1](), *three)
    undisturbed = trials(folder)
    folder.rename(folder.with_name("before"))
    call = Job.__call__

    def kills_the_second(self, cfg):
        return None if HydraConfig.get().job.num == 1 else call(self, cfg)

    with monkeypatch.context() as killing:
        killing.setattr(Job, "__call__", kills_the_second)
        status, _, err, folder = sweep(tried[1](), *three)
    assert [state for _, state, _ in trials(folder)] == ["COMPLETE", "RUNNING", "COMPLETE"]
    x = trials(folder)[1][2]
    assert err.count(f"\nerror: trial 1 (x={x}): its process ended\n") == 1 and status == 1
    assert re.search(rf"\nerror: 1 of 3 jobs failed: job \d \(x={x}\): its process ended\n", err)
    tried[0].clear()
    status, *_ = sweep(tried[1](), *three)
    assert (status, tried[0]) == (0, [x]) and trials(folder) == undisturbed


def test_a_trial_without_a_score_is_said_and_counts(sweep):
    status, _, err, folder = sweep(lambda cfg: None, *SEARCH, "hydra.sweeper.n_trials=1")
    assert [state for _, state, _ in trials(folder)] == ["FAIL"] and status == 1
    assert re.search(r"\nerror: trial 0 \(x=0\.\d+\): no score in validation\n", err)


def test_a_trial_that_another_process_is_at_is_waited_for(sweep, tmp_path, monkeypatch):
    other, ran, waited = Claim(tmp_path / "run"), [], []
    other.folder.mkdir()
    other.take()

    def wait(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            other.release()

    def task(cfg):
        ran.append(cfg.x)
        if not other.free():
            raise Held(other.folder, "another process is at work there")
        return cfg.x

    monkeypatch.setattr("cnnlab.config.search.time.sleep", wait)
    status, *_, folder = sweep(task, *SEARCH, "hydra.sweeper.n_trials=1")
    assert [state for _, state, _ in trials(folder)] == ["COMPLETE"] and status == 0
    assert len(waited) == 3 and len(ran) == 2 and ran[0] == ran[1]


def test_a_grid_is_gone_through_once(sweep, tried):
    calls, task = tried
    given = ("hydra/sweeper=optuna", "hydra.sweeper.sampler=grid", "x=choice(0.1,0.2)")
    _, _, _, folder = sweep(task(), *given, "seed=range(1,6,2)", "hydra.sweeper.n_jobs=2")
    assert len(calls) == 6
    found = {(t.params["x"], t.params["seed"]) for t in open_study(folder).trials}
    assert found == {(x, seed) for x in ("0.1", "0.2") for seed in (1, 3, 5)}


def space(*lines):
    return space_of(parse(lines, Source(str(default_directory())), sweep=True))


def test_the_space_from_hydras_grammar():
    fixed, found = space(
        "batch_size=range(8,65,8)", "conv=dense,fft", "seed=int(interval(1,9))", "epochs=3",
        "optimizer.lr=tag(log,interval(1e-4,1))", "clip_norm=range(0.5,2,0.5)",
        "backbone.plan=choice([4,M],[8])", "epochs=4",
    )  # fmt: skip
    of = optuna.distributions
    assert fixed == ["epochs=4"]
    assert found == {
        "batch_size": of.IntDistribution(8, 64, step=8),
        "conv": of.CategoricalDistribution(["dense", "fft"]),
        "seed": of.IntDistribution(1, 9),
        "optimizer.lr": of.FloatDistribution(1e-4, 1, log=True),
        "clip_norm": of.FloatDistribution(0.5, 1.5, step=0.5),
        "backbone.plan": of.CategoricalDistribution(["[4,M]", "[8]"]),
    }
    assert values_of("clip_norm", found["clip_norm"]) == [0.5, 1.0, 1.5]
    with pytest.raises(ConfigError, match=r"^optimizer.lr: sampler=grid takes choices"):
        values_of("optimizer.lr", found["optimizer.lr"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("x=tag(log,interval(0,1))", "x: expected numbers that rise on a log scale: above 0"),
        ("x=tag(log,choice(1,2))", "x: expected an interval or a range on a log scale"),
        ("x=tag(fast,interval(0,1))", "x: expected no tag but log"),
        ("x=0.5", "-m: nothing to search"),
        ("hydra.sweeper.sampler=cmaes", "hydra.sweeper.sampler: expected one of tpe, random, grid"),
        ("hydra.sweeper.pruner=none2", "hydra.sweeper.pruner: expected one of none, median"),
        ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials: expected a whole number >= 1"),
    ],
)
def test_what_can_not_be_searched_is_refused_before_the_first_trial(sweep, tried, line, says):
    calls, task = tried
    given = [line] if line.startswith("x=") else [SEARCH[1], line]
    status, _, err, folder = sweep(task(), SEARCH[0], *given)
    assert (status, calls, folder) == (2, [], None)
    assert err.startswith(f"error: {says}") and err.count("\n") == 1


@pytest.fixture
def search(tmp_path):
    """A study of five trials that are complete, with 0.5 and 0.6 in validation, and an open one."""
    study = open_study(tmp_path, direction="maximize")
    values = {1: 0.5, 2: 0.6}
    for _ in range(5):
        study.add_trial(optuna.trial.create_trial(value=0.6, intermediate_values=values))
    study.ask()
    return study


def begun(folder, records=(), **options):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    trial = Trial(str(folder), 5, **options)
    trial.start(folder, {"metrics": None})
    return trial


def val(step, accuracy):
    return {"step": step, "kind": "val", "loss": 1.0, "accuracy": accuracy}


@pytest.mark.parametrize("pruner", ["median", "none"])
def test_a_run_that_is_worse_than_the_median_is_ended(search, tmp_path, pruner):
    trial = begun(tmp_path, pruner=pruner)
    trial.log({"step": 1, "kind": "train", "loss": 0.1})
    trial.log(val(10, 0.55))
    if pruner == "median":
        with pytest.raises(Pruned, match=r"^pruned at step 20, with accuracy 0\.5500 in"):
            trial.log(val(20, 0.55))
    else:
        trial.log(val(20, 0.55))
    assert search.trials[5].intermediate_values == {1: 0.55, 2: 0.55}


def test_a_resumed_run_reports_nothing_twice(search, tmp_path):
    begun(tmp_path).log(val(10, 0.4))
    trial = begun(tmp_path, [val(10, 0.4)])
    trial.log(val(20, 0.5))
    again = begun(tmp_path, [val(10, 0.4)])  # from the same checkpoint once more
    again.log(val(20, 0.5))
    assert search.trials[5].intermediate_values == {1: 0.4, 2: 0.5}


def test_a_search_the_wrong_way_round_is_refused(search, tmp_path):
    trial = begun(tmp_path)
    with pytest.raises(ConfigError, match=r"^hydra.sweeper.direction: expected minimize, as loss"):
        trial.log({"step": 1, "kind": "val", "loss": 0.5})


def test_a_config_makes_no_search(tmp_path):
    with pytest.raises(ConfigError, match=r"^logger.trial.folder: expected the folder of a search"):
        Trial(str(tmp_path), 0).start(tmp_path, {})
    assert not list(tmp_path.iterdir())
