"""Sweeps of which several jobs run at once, in other processes: each says what it came to."""

import json
import multiprocessing
import os
import subprocess
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cnnlab.claims import Claim, Held
from cnnlab.config import ConfigError
from cnnlab.config.hydra_node import check_hydra
from cnnlab.config.launchers import LAUNCHERS, register
from cnnlab.config.source import Source, default_directory
from cnnlab.errors import CnnlabError, WriteError

SHIPPED = sorted(file.stem for file in (default_directory() / "hydra" / "launcher").glob("*.yaml"))


def some_fail(cfg):
    """Of which a pickle goes to another process by its content: it is in no module there."""
    if cfg.seed == 91:
        raise CnnlabError("the disk is full")
    if cfg.seed == 92:
        os._exit(3)
    return cfg.seed / 2


some_fail.__module__ = "__main__"


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_the_rest_goes_on_past_a_failure_and_a_dead_process(sweep, launcher):
    pytest.importorskip(launcher.partition("_")[0], reason=f"{launcher}: an extra")
    status, seeds, err, _ = sweep(some_fail, "seed=1,91,92,3", f"hydra/launcher={launcher}")
    assert status == 1
    assert {s: o.state for s, o in seeds.items()} == {
        "1": "done", "91": "failed", "92": "failed", "3": "done"
    }  # fmt: skip
    assert (seeds["1"].objective, seeds["3"].objective) == (0.5, 1.5)
    assert seeds["91"].message == "the disk is full"
    last = err.splitlines()[-1]
    assert last.startswith("error: 2 of 4 jobs failed: job 1 (seed=91): the disk is full, job 2 (")
    assert last.endswith("job 2 (seed=92): its process ended")
    assert multiprocessing.active_children() == []


FAKE_SLURM = {
    "sbatch": """\
#!/bin/sh
for file; do :; done
grep -q '^#SBATCH --partition=short' "$file" || exit 1
export SLURM_ARRAY_JOB_ID=7 SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=1 SLURM_NODEID=0
export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_JOB_NODELIST=here
for i in 0 1; do
    SLURM_ARRAY_TASK_ID=$i SLURM_JOB_ID=$((8 + i)) sh "$file" >/dev/null 2>&1 &
done
echo Submitted batch job 7
""",
    "srun": """\
#!/bin/sh
while case "$1" in -*) true ;; *) false ;; esac; do
    case "$1" in --output | --error) shift ;; esac
    shift
done
exec "$@"
""",
}


def test_a_job_array_of_slurm(sweep, tmp_path, monkeypatch):
    """As far as it goes without SLURM: what stands in for it runs the script that it is given."""
    pytest.importorskip("submitit", reason="submitit: an extra")
    for name, text in FAKE_SLURM.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    settings = ["hydra/launcher=submitit_slurm", "hydra.launcher.slurm_partition=short"]
    status, seeds, err, _ = sweep(some_fail, "seed=1,91", *settings)
    assert "submitted to SLURM: 7_0, 7_1" in err
    assert {s: o.state for s, o in seeds.items()} == {"1": "done", "91": "failed"}
    assert status == 1


def test_what_another_process_is_at_is_taken_up_when_it_has_let_go(sweep, tmp_path, monkeypatch):
    """It was killed, say: nothing is lost."""
    folder = tmp_path / "run"
    folder.mkdir()
    other, ran = Claim(folder), []
    other.take()
    monkeypatch.setattr(time, "sleep", lambda seconds: other.release())

    def task(cfg):
        ran.append(cfg.seed)
        if cfg.seed == 1:
            own = Claim(folder)
            own.take()
            own.release()

    status, seeds, err, place = sweep(task, "seed=1,2")
    assert (status, ran) == (0, [1, 2, 1])
    assert {o.state for o in seeds.values()} == {"done"}
    assert "job 0 (seed=1): " in err and ": left to it" in err
    assert len(list((place / "jobs").iterdir())) == 2


def test_a_full_disk_hides_no_outcome(sweep, monkeypatch):
    def full(path, content):
        raise WriteError(f"{path}: could not be written: No space left on device")

    def task(cfg):
        if cfg.seed == 2:
            monkeypatch.setattr("cnnlab.config.job.write_atomically", full)
            raise CnnlabError("the reason")

    status, seeds, err, _ = sweep(task, "seed=1,2,3")
    assert {s: (o.state, o.message) for s, o in seeds.items()} == {
        "1": ("done", ""),
        "2": ("failed", "the reason"),
        "3": ("done", ""),
    }
    assert status == 1 and "1 of 3 jobs failed: job 1 (seed=2): the reason" in err
    assert err.count("warning: ") == 2 and "Traceback" not in err


def test_a_sweep_that_can_write_nothing_is_refused_in_one_line(sweep, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", "/proc/x"):
        status, _, err, _ = sweep(
            lambda cfg: pytest.fail("it began"), f"output={place}", "seed=1,2"
        )
        assert status == 2 and err.count("\n") == 1
        assert err.startswith("error: output: expected a folder to write in (")


def test_a_run_that_is_held_and_then_removed_is_free(sweep, tmp_path, monkeypatch):
    folder, ran = tmp_path / "run", []
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("nobody is at it"))

    def task(cfg):
        ran.append(cfg.seed)
        if ran == [1]:
            raise Held(folder, "another process is at work there")

    status, _, err, _ = sweep(task, "seed=1,2")
    assert (status, ran) == (0, [1, 2, 1]) and "Traceback" not in err


def test_the_same_sweep_has_the_same_folder_however_it_is_launched(sweep):
    task = lambda cfg: None
    *_, one = sweep(task, "seed=1,2")
    *_, same = sweep(task, "seed=1,2", "hydra/launcher=basic", "hydra.verbose=false")
    *_, other = sweep(task, "seed=1,3")
    assert one == same != other


def test_a_stranger_in_the_folder_is_no_outcome(sweep):
    task = lambda cfg: {}[cfg.seed] if cfg.seed == 2 else None
    *_, folder = sweep(task, "seed=1,2")
    files = sorted((folder / "jobs").iterdir())
    for file, text in zip(files, ('{"overrides": [1]}', "[]"), strict=True):
        file.write_text(text)
    files[0].with_name("other.json").write_text(json.dumps({"overrides": [], "state": "done"}))
    status, seeds, *_ = sweep(task, "seed=1,2")
    assert status == 1
    assert [(o.state, o.message) for o in seeds.values()] == [("done", ""), ("failed", "KeyError")]


def test_a_held_job_may_be_pickled(tmp_path):
    import pickle

    again = pickle.loads(pickle.dumps(Held(tmp_path, "at work")))
    assert (again.folder, str(again)) == (tmp_path, f"{tmp_path}: at work")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_launchers_are_allowed_as_they_are(name, monkeypatch):
    source = Source(str(default_directory()))
    node = source.load((f"hydra/launcher={name}",), sweep=True).hydra
    assert node.launcher._target_.rpartition(".")[2] in {own.__name__ for own in LAUNCHERS}
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=r"^hydra/launcher: \w+ is not installed.*'cnnlab\["):
        register(node)


def test_a_file_that_says_more_to_a_launcher_is_refused():
    """Shell before each job, another cluster: the command line may say that, a preset may not."""
    for name, key, value in (
        ("submitit_slurm", "slurm_setup", ["true"]),
        ("ray", "address", "ray://elsewhere:1"),
    ):
        source = Source(str(default_directory()))
        node = OmegaConf.to_container(source.load((f"hydra/launcher={name}",), sweep=True).hydra)
        check_hydra(node)
        node["launcher"][key] = value
        with pytest.raises(ConfigError, match=rf"^hydra\.launcher\.{key}.*is refused"):
            check_hydra(node)
        check_hydra(node, [f"hydra/launcher={name}", f"hydra.launcher.{key}={json.dumps(value)}"])


def test_a_folder_of_ones_own(sweep, tmp_path):
    place = tmp_path / "it's"
    with pytest.raises(AssertionError):  # elsewhere than the fixture expects it
        sweep(lambda cfg: None, "seed=1,2", f'hydra.sweep.dir="{place}"')
    assert len(list(Path(place, "jobs").iterdir())) == 2


def test_the_array_script_is_one():
    script = default_directory().parent / "docs" / "scale" / "sweep.sbatch"
    checked = subprocess.run(["bash", "-n", script], capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")
    alone = subprocess.run(["bash", script], capture_output=True, text=True)
    assert (alone.returncode, alone.stderr) == (2, "expected the sweep: -m key=value,value ...\n")
