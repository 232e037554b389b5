"""`cnnlab COMMAND`, in a clone and as a wheel installs it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import cnnlab
from cnnlab.__main__ import main
from cnnlab.console import another

ROOT = Path(cnnlab.__file__).parents[1]


@pytest.fixture
def call(monkeypatch, capsys):
    """`(exit status, out, err)` of `cnnlab ARGUMENTS`, in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # a script, not pytest
        monkeypatch.setattr(sys, "argv", ["/usr/bin/cnnlab", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code or 0, *capsys.readouterr()

    return call


def test_it_lists_every_command_with_a_line(call):
    status, out, err = call()
    assert (status, err) == (0, "") and call("--help")[1] == out
    assert out.startswith("usage: cnnlab COMMAND ")
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    folder = ROOT / "experiments"
    files = [*folder.glob("[a-z]*.py"), *folder.glob("questions/[a-z]*")]
    assert {file.stem for file in files} <= lines.keys() and "device" not in lines
    for line in lines.values():
        assert len(line.split()) > 3 and len(line) < 120


def test_a_command_knows_what_it_is_called(call):
    status, out, _ = call("train", "--help")
    assert status == 0 and out.startswith("usage: cnnlab train [flags] [group=choice ...]")
    assert "\n  cnnlab train experiment=vgg_fashion seed=1\n" in out
    assert call("train", "--epochs")[2].endswith("see cnnlab train --help)\n")
    assert another("tune") == "cnnlab tune"
    assert "\n    cnnlab device_check [seconds=220]" in call("device_check", "--help")[1]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("trian", "trian: no such command; did you mean train?"),
        ("toplitz", "toplitz: no such command; did you mean toeplitz?"),
        ("../x", "../x: no such command; cnnlab lists them"),
        ("questions", "questions: no such command; cnnlab lists them"),
        ("book.html", "book.html: no such command; did you mean book?"),
    ],
)
def test_a_wrong_command_is_one_line(call, given, says):
    assert call(given, "epochs=5") == (2, "", f"error: {says}\n")


def test_a_wrong_override_keeps_its_status(call):
    assert call("train", "epochs=five")[0] == 2


def test_a_reader_that_has_enough_is_no_error(call, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        status, _, err = call()
    assert (status, err) == (141, "")


def elsewhere(tmp_path, package, *arguments):
    """The output of `python -m cnnlab` in a folder with an `experiments` of its own, where the
    package is in the folder `package`."""
    (tmp_path / "experiments").mkdir()
    for name in ("__init__", "train"):
        (tmp_path / "experiments" / f"{name}.py").write_text("raise SystemExit('the user')")
    command = [sys.executable, "-m", "cnnlab", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_runs_beside_a_folder_of_the_same_name(tmp_path):
    out = elsewhere(tmp_path, ROOT, "train", "--help")
    assert out.startswith("usage: python -m cnnlab train [flags]")


def test_a_wheel_holds_all_within_the_package(tmp_path):
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="needs the extra `test`")
    [file] = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    info = {name for name in names if ".dist-info/" in name}
    assert {name.split("/")[0] for name in names - info} == {"cnnlab"}
    [entry] = [name for name in info if name.endswith("entry_points.txt")]
    text = (tmp_path / "installed" / entry).read_text()
    assert text.split("\n\n") == [
        "[console_scripts]\ncnnlab = cnnlab.__main__:main",
        "[pytest11]\ncnnlab = cnnlab.testing.plugin\n",
    ]
    for pattern in ("cnnlab/**/*.*", "configs/**/*.yaml", "experiments/**/*.*"):
        for path in ROOT.glob(pattern):
            own = path.relative_to(ROOT)
            if not {"__pycache__", "results", "shipped"} & set(own.parts):
                place = own if own.parts[0] == "cnnlab" else Path("cnnlab", "shipped", own)
                assert place.as_posix() in names
    assert not any("/results/" in name for name in names)
    out = elsewhere(tmp_path, tmp_path / "installed", "train", "--cfg", "job")
    assert "\nbatch_size: " in out
