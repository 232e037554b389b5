"""The command line, in this process: what is printed, the exit status, what is left behind."""

import json
import pickle
import sys
import time
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from cnnlab.config import ConfigError, cli, compose
from cnnlab.config.interrupts import Interrupts
from cnnlab.config.job import Job, Jobs
from cnnlab.config.source import Source
from cnnlab.config.sweep import sweep_jobs

from . import task


@pytest.fixture
def command(configs, tmp_path, monkeypatch, capsys):
    """Runs the tiny task in an empty folder: (exit status, configs that ran, stderr, stdout)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def call(*arguments, config_name="train", config_dir=configs, **options):
        monkeypatch.setattr(sys, "argv", ["task.py", *arguments])
        status = 0
        try:
            cli(config_name, config_dir=config_dir, **options)(task.run)()
        except SystemExit as stop:
            status = stop.code
        assert not GlobalHydra.instance().is_initialized()
        assert not HydraConfig.initialized()
        assert sys.argv == ["task.py", *arguments]
        out, err = capsys.readouterr()
        ran = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return status, ran, err, out

    return call


def test_a_run_gets_the_composed_config_and_leaves_nothing(command, configs, tmp_path):
    overrides = ["steps=7", "augment=[flip]", "optimizer.momentum=0.5"]
    status, ran, err, _ = command(*overrides)
    assert status == 0
    assert err == ""
    expected = compose(overrides, config_dir=configs)
    assert ran == [{**expected, "eval_batch_size": 64}]
    assert (ran[0]["steps"], ran[0]["epochs"]) == (7, None)
    assert list(tmp_path.iterdir()) == []


def test_main_with_a_config_is_the_task_itself(configs, capsys):
    main = cli("train", config_dir=configs)(task.run)
    main(compose(["seed=5"], config_dir=configs))
    assert json.loads(capsys.readouterr().out)["seed"] == 5
    assert main.__doc__ == task.run.__doc__
    with pytest.raises(RuntimeError, match="a bug"):
        main(compose(["seed=93"], config_dir=configs))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["optimzer.momentum=1"], 2, "optimzer.momentum: no such key; did you mean optimizer.mom"),
        (["epochs=five"], 2, "epochs: expected a number > 0 or null, got 'five'"),
        (["backbone=vgg12"], 2, "backbone=vgg12: no such choice; did you mean vgg1"),
        (["epochs=[1"], 2, "epochs=[1: not a valid override"),
        (["seed=1,2"], 2, "seed: several values, '1,2', need a sweep (-m)"),
        (["experiment=evil"], 2, "data._target_: 'os.system' is refused"),
        (["hydra.run.dirs=x"], 2, "hydra.run.dirs: no such key"),
        (["hydra/launcher=slurm"], 2, "hydra/launcher=slurm: no such choice"),
        (["--epochs", "5"], 2, "unrecognized arguments: --epochs"),
        (["--cfg", "jobs"], 2, "argument --cfg/-c: invalid choice: 'jobs'"),
        (["--cfg", "job", "sed=1"], 2, "sed: no such key; did you mean seed?"),
        (["--cfg", "job", "-p", "optimizr"], 2, "optimizr: no such key"),
        (["--info", "defaults", "sed=1"], 2, "sed: no such key; did you mean seed?"),
        (["--help", "backbone=vgg12"], 2, "backbone=vgg12: no such choice"),
        (["-cn", "trane"], 2, "Cannot find primary config 'trane'"),
        (["-cd", "nowhere"], 2, "nowhere: no such directory of configs"),
        (
            ["-m", "seed=1,five"],
            2,
            "seed: expected a number or null, got 'five' (job with seed=five)",
        ),
        (["-m", "backbone=vgg11,mlp", "backbone.plan=vgg16"], 2, "backbone.plan: no such key"),
        (["-m", "backbone=glob(x*)"], 2, "backbone: no values in glob(x*)"),
        (["-m", "hydra/launcher=slurm"], 2, "hydra/launcher=slurm: no such choice"),
        (["seed=${hydra:job.name}"], 2, "seed: expected a number or null, got 'task'"),
        (["seed=91"], 1, "the disk is full"),
        (["seed=92"], 2, "backbone.plan[3]: expected a channel count > 0 or 'M', got -64"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_one_line_and_an_exit_status(command, tmp_path, arguments, status, message):
    got, ran, err, _ = command(*arguments)
    assert got == status
    assert err.count("\n") == 1
    assert message in err
    assert err.startswith("error: ")
    assert len(ran) == (arguments[0] in ("seed=91", "seed=92"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_value_is_asked_for_but_can_be_shown(command):
    assert command(config_name="evaluate")[2] == "error: run: required, e.g. run=outputs/...\n"
    status, _, _, out = command("--cfg", "job", config_name="evaluate")
    assert (status, out) == (0, "run: ???\nviews: none\n")
    out = command("--help", config_name="evaluate")[3]
    assert "\nKeys, key=value:\n  run=???\n" in out
    assert "Groups" not in out


def test_a_bug_keeps_its_traceback(command):
    status, _, err, _ = command("seed=93")
    assert status == 1
    assert "Traceback" in err
    assert "RuntimeError: a bug" in err


def test_ctrl_c(command):
    for way in (94, 95, 96):  # also where what loads, or Python itself, catches it
        assert command(f"seed={way}")[0::2] == (130, "interrupted\n")
    status, ran, err, _ = command("-m", "seed=94")
    assert status == 130
    assert [cfg["seed"] for cfg in ran] == [94]
    assert "Traceback" not in err


def test_full_errors_on_request(command, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError, match="sed: no such key"):
        command("sed=1")


def test_cfg_job_shows_what_would_run(command, tmp_path):
    status, ran, _, out = command("--cfg", "job", "steps=5", "backbone=mlp")
    assert (status, ran) == (0, [])
    assert "epochs: null\nsteps: 5\n" in out
    assert "eval_batch_size: ${batch_size}" in out
    out = command("--cfg", "job", "--resolve")[3]
    assert "eval_batch_size: 64" in out
    assert command("--cfg", "job", "-p", "optimizer.momentum")[3] == "0.9"
    assert command("-p", "optimizer", "-c", "job")[3].startswith(
        "_target_: cnnlab.train.optim.sgd\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_hydras_other_flags(command, tmp_path):
    assert "sweeper:" in command("--cfg", "hydra", "seed=1")[3]
    assert command("--version")[3].startswith("Hydra 1.")
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_unpickled(command, tmp_path):
    (tmp_path / "config.pickle").write_bytes(pickle.dumps(_Runs(tmp_path / "ran")))
    status, ran, err, _ = command("--experimental-rerun", str(tmp_path / "config.pickle"))
    assert (status, ran) == (2, []) and err.startswith("error: --experimental-rerun: refused")
    assert not (tmp_path / "ran").exists()


class _Runs:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_help(command):
    status, ran, err, out = command("--help", examples=("epochs=3",))
    assert (status, ran, err) == (0, [], "")
    assert "[flags] [group=choice ...] [key=value ...]" in out
    assert "Prints its config." in out
    assert "More about it" not in out
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert lines["backbone"].split(maxsplit=1)[1] == "mlp, *vgg11, vgg16"
    assert "*crop, flip, none (a list, augment=[crop,flip])" in lines["augment"]
    assert lines["name=tiny"].endswith("a name for the folder")
    assert "evaluate_every={epochs: 1}  " in out
    assert "one of evaluate_every.epochs, evaluate_every.steps," in out
    assert "hydra" not in lines
    assert out.count(" epochs=3\n") == 1
    assert "-m, --multirun" in out
    assert max(map(len, out.splitlines())) <= 110
    own = command("--help")[3].split("Examples:\n")[1].split("\n\n")[0].splitlines()
    assert len(own) == 3
    assert "-m " in own[2]


def test_the_examples_that_help_makes_up_work(command):
    lines = command("--help")[3].split("Examples:\n")[1].split("\n\n")[0].splitlines()
    arguments = lines[1].split(".py", 1)[-1].split("pytest", 1)[-1].split()
    assert len(arguments) == 2
    assert command(*arguments)[0] == 0


def test_other_configs_by_flag(command, configs, tmp_path):
    extra = tmp_path / "extra"
    (extra / "experiment").mkdir(parents=True)
    (extra / "experiment" / "mine.yaml").write_text("# @package _global_\nname: mine\n")
    status, _, err, out = command("-cd", str(extra), "-c", "job", "experiment=mine")
    assert (status, err) == (0, "")
    assert "name: mine\n" in out
    (extra / "own.yaml").write_text("defaults: [hydra/settings, _self_]\nseed: 17\n")
    assert command("-cd", "extra", "-cn", "own")[1] == [{"seed": 17}]
    (extra / "hydra").mkdir()
    (extra / "hydra" / "settings.yaml").write_text((configs / "hydra/settings.yaml").read_text())
    assert command("-cp", str(extra), "-cn", "own")[1] == [{"seed": 17}]


def test_sweep(command, tmp_path):
    status, ran, err, _ = command("backbone=mlp,vgg16", "-m", "seed=range(2,3)", "steps=3")
    assert status == 0
    assert [cfg["seed"] for cfg in ran] == [2, 2]
    assert ["plan" in cfg["backbone"] for cfg in ran] == [False, True]
    assert all((cfg["steps"], cfg["epochs"]) == (3, None) for cfg in ran)
    assert err.splitlines() == [
        "[job 0 of 2] backbone=mlp seed=2 steps=3",
        "[job 1 of 2] backbone=vgg16 seed=2 steps=3",
    ]
    assert Path.cwd() == tmp_path
    files = [f.relative_to(tmp_path) for f in tmp_path.rglob("*") if f.is_file()]
    assert sorted(f.suffix for f in files) == [".json", ".json", ".yaml"]
    assert {f.parts[:2] for f in files} == {("outputs", "sweeps")}


def test_a_sweep_goes_on_past_a_failed_job(command):
    status, ran, err, _ = command("-m", "seed=91,93,1", "output=elsewhere")
    assert status == 1
    assert [cfg["seed"] for cfg in ran] == [91, 93, 1]
    lines = err.splitlines()
    assert "error: job 0 (seed=91 output=elsewhere): the disk is full" in lines
    assert "error: job 1 (seed=93 output=elsewhere): RuntimeError" in lines
    assert "RuntimeError: a bug" in lines
    assert lines[-1].startswith("error: 2 of 3 jobs failed: job 0 (seed=91")
    assert Path("elsewhere/sweeps").is_dir()
    assert not Path("outputs").exists()


def test_nothing_starts_when_one_job_is_wrong(command, tmp_path):
    status, ran, err, _ = command("-m", "seed=0,1", "backbone=mlp,vgg11,vgg12")
    assert (status, ran) == (2, [])
    assert "backbone=vgg12: no such choice" in err
    assert "(job with seed=0 backbone=vgg12)" in err
    assert list(tmp_path.iterdir()) == []


def test_a_preset_may_be_a_sweep(command):
    status, ran, _, _ = command("experiment=sweep", "batch_size=3")
    assert status == 0
    assert [(cfg["seed"], cfg["batch_size"]) for cfg in ran] == [(1, 3), (2, 3)]


def test_values_on_the_command_line_replace_those_of_a_preset(configs):
    jobs = sweep_jobs(Source(str(configs)), ["experiment=sweep", "seed=3,4"])
    assert [cfg.seed for cfg in jobs.values()] == [3, 4]


def test_both_ends_of_an_interval_are_checked(configs):
    source = Source(str(configs))
    searches = "hydra.sweeper._target_=hydra_plugins.some.Sweeper"
    jobs = sweep_jobs(source, [searches, "label_smoothing=interval(0.0,0.5)", "seed=1"])
    assert [cfg.label_smoothing for cfg in jobs.values()] == [0.0, 0.5]
    with pytest.raises(ConfigError, match="steps: expected a whole number >= 1"):
        sweep_jobs(source, [searches, "steps=interval(-1,5)"])


def test_hydras_settings_are_no_part_of_a_jobs_overrides(configs):
    jobs = sweep_jobs(Source(str(configs)), ["hydra.sweep.dir=x", "hydra/launcher=basic", "seed=1"])
    assert list(jobs) == [("seed=1",)]


def test_a_job_can_go_to_another_process(configs):
    source = Source(str(configs))
    configs = sweep_jobs(source, ["seed=1,2"])
    job = Job(task.run, source, configs, Jobs(Path()), Interrupts()).only(["seed=2"])
    copy = pickle.loads(pickle.dumps(job))
    assert copy.process == job.process
    assert list(copy.configs) == [("seed=2",)]
    assert copy._config(["seed=2"]).seed == 2
    assert copy._config(["seed=3"]).seed == 3  # a sweeper's own proposal


def test_a_large_sweep_is_checked_quickly(configs):
    source = Source(str(configs))
    source.load_base()
    start = time.process_time()
    assert len(sweep_jobs(source, ["seed=range(10)", "batch_size=1,2"])) == 20
    assert time.process_time() - start < 4
