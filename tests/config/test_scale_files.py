"""The files of docs/scale/ are such as their tools read, and their commands are cnnlab's."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from cnnlab.config import compose

FOLDER = Path(__file__).parents[2] / "docs" / "scale"


def text(name):
    return (FOLDER / name).read_text()


def settings(command):
    """The settings in a command, what the shell would put in replaced by a number."""
    plain = re.sub(r"\$\([^)]*\)|\"?\$\w+", "7", command)
    return re.findall(r"(?<![\w.-])[a-z_.]+=[^\s\"]+", plain)


@pytest.mark.parametrize("name", ["slurm.sbatch", "jobset.yaml", "skypilot.yaml"])
def test_the_command_is_one_of_ours(name):
    command = text(name).replace("\\\n", " ").split("experiments.train")[1].split("resources:")[0]
    command = command.partition("\nstatus")[0]
    found = settings(command.replace(" - ", " "))
    assert "runtime=shard" in found and len(found) >= 4
    cfg = compose(found)
    assert cfg.runtime.processes in ("auto", 7)


def test_shell_files_parse():
    files = {"slurm.sbatch": text("slurm.sbatch")}
    files |= {key: yaml.safe_load(text("skypilot.yaml"))[key] for key in ("setup", "run")}
    for name, script in files.items():
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), name


def test_the_job_set_is_one():
    jobs = yaml.safe_load(text("jobset.yaml"))
    assert (jobs["apiVersion"], jobs["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    [workers] = jobs["spec"]["replicatedJobs"]
    job = workers["template"]["spec"]
    assert job["completionMode"] == "Indexed" and job["parallelism"] == job["completions"]
    pod = job["template"]["spec"]
    assert pod["containers"][0]["command"][:3] == ["python", "-m", "experiments.train"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
