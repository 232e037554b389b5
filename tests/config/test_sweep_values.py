"""A sweep whose last job can't run is refused before the first starts, whatever is wrong in it."""

import pytest

from cnnlab.config import ConfigError, Rehearsal
from cnnlab.config.source import Source, default_directory
from cnnlab.config.sweep import sweep_jobs

TINY = ["data=fake", "data.shape=[8,8,1]", "data.train_size=64", "data.test_size=16",
        "backbone.plan=[4,M,6]", "batch_size=16", "steps=4"]  # fmt: skip


def jobs(*lines, name="train", rehearsal=Rehearsal):
    return sweep_jobs(Source(str(default_directory()), name), [*TINY, *lines], rehearsal)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        # Each by itself
        (["optimizer.lr=0.1,-1"], "optimizer.lr: expected a number > 0, got -1"),
        (["batch_size=8,0"], "batch_size: expected a whole number from 1"),
        (["label_smoothing=0.1,1.5"], "label_smoothing: expected a number"),
        (["accumulate=1,0"], "accumulate: expected a whole number"),
        (["clip_norm=1,-1"], "clip_norm: expected a number > 0"),
        (["schedule.peak=0.5,2"], "schedule.peak: expected a number from 0 to 1, got 2"),
        (["precision=float32,float64"], "precision: expected one of float32, bfloat16"),
        (["head.pool=avg,mean"], "head.pool: expected one of avg, max, sum, flatten, got 'mean'"),
        (["data.val_fraction=0.1,1"], "data.val_fraction: expected a number from 0 to below 1"),
        (["backbone.plan=[4],[4,N]"], "backbone.plan[1]: expected a channel count > 0 or 'M'"),
        # Only together with others
        (["norm=group", "norm.groups=2,3"], "norm.groups: expected a divisor of channels=4, got 3"),
        (["data.val_fraction=0.1,0.001"], "data.val_fraction: 0.001 of 64 training examples"),
        (["batch_size=16,1000"], "batch_size: expected at most "),
        (["accumulate=1,100"], "accumulate: "),
        (["backbone.plan=[4],[M]"], "backbone.plan[0]: expected a channel count before a pool"),
        (["conv.padding_mode=reflect", "backbone.kernel_size=3,33"], "backbone: pads[0]"),
        (["conv.padding=CAUSAL,SAME"], "conv.padding: 'CAUSAL' needs 1 spatial axis"),
        (["conv.algorithm=auto,magic"], "conv.algorithm: "),
        (["backbone.activation=relu,rely"], "backbone.activation: "),
        (["augment=[cutout]", "augment.cutout.size=8,9"], "augment.cutout.size: expected at most"),
        (["schedule=cosine", "schedule.warmup.steps=1,9"], "schedule.warmup: expected fewer steps"),
        (["runtime=jit,pmap", "+runtime.devices=256"], "runtime.devices: "),
        (["backbone.dropout=${seed}", "seed=0,1"], "backbone.dropout: expected a number"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_bad_value_is_found_before_the_first_job(lines, says):
    with pytest.raises(ConfigError) as caught:
        jobs(*lines)
    assert str(caught.value).startswith(says), str(caught.value)
    assert str(caught.value).endswith(")")
    assert "(job with " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_good_jobs_are_let_through_and_data_is_loaded_once(monkeypatch):
    made = []
    monkeypatch.setattr("cnnlab.data.fake", _counted(made))
    found = jobs("seed=1,2,3", "optimizer.lr=0.1,0.2", "data.seed=0,1")
    assert len(found) == 12
    assert len(made) == 2


def _counted(made):
    import functools

    from cnnlab.data import fake

    @functools.wraps(fake)
    def load(**arguments):
        made.append(arguments)
        return fake(**arguments)

    return load


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["seed=range(1e9)"], "-m: expected at most 10,000 jobs, got 1,000,000,000"),
        (["seed=range(200)", "epochs=range(200)"], "-m: expected at most 10,000 jobs, got 40,000"),
        (["seed=range(5,1)"], "seed: no values in range(5,1)"),
        (["seed=range(0,5,0)"], "seed: no values in range(0,5,0)"),
        (["optimizer.lr=interval(0,1)"], "optimizer.lr: interval(0,1) is for a sweeper"),
        (["seed=tag(a,choice(1,2)),3"], "seed: no values in 'tag(a,choice(1,2)),3'"),
    ],
)  # fmt: skip
def test_sweeps_that_can_not_be(lines, says):
    with pytest.raises(ConfigError) as caught:
        jobs(*lines)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("data.val_fraction=0", "data.val_fraction: expected validation examples, whose best s"),
        ("metrics=[loss,accuracy]", "hydra.sweeper.direction: expected minimize, as loss is what"),
        ("hydra.sweeper.direction=minimize", "hydra.sweeper.direction: expected maximize, as acc"),
    ],
)
def test_a_search_that_no_score_can_judge(line, says):
    searched = ["hydra/sweeper=optuna", "optimizer.lr=interval(0.1,0.2)"]
    assert len(jobs(*searched)) == 2
    with pytest.raises(ConfigError) as caught:
        jobs(*searched, line)
    assert str(caught.value).startswith(says)


def test_what_only_a_running_job_knows_waits_for_it():
    assert len(jobs("name=${hydra:job.num}", "seed=1,2")) == 2


def test_questions_rehearse_what_fits_together():
    from experiments.locality import question

    with pytest.raises(ConfigError, match=r"^kernels: expected 3 among them, .*\(job with kernels"):
        sweep_jobs(
            Source(str(default_directory()), "locality"),
            ["kernels=[1,3],[1,5]"],
            lambda _: question.check_settings,
        )
