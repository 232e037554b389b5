"""The native library: how it is built, kept and verified; what happens where it can't be had."""

import dataclasses
import errno
import functools
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from primitive_cases import needs_engine

from cnnlab.ops.native import build, engine


def python(program, **variables):
    """Run a program in a new process: its exit status, output and complaints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


@needs_engine
def test_threads_follow_the_variable():
    status, out, err = python(
        "from cnnlab.ops.native import ENGINE; print(ENGINE.threads())", OMP_NUM_THREADS="1"
    )
    assert (status, out) == (0, "1\n"), err


@needs_engine
@pytest.mark.parametrize(
    ("given", "policy", "spins"), [(None, "ACTIVE", 20000), ("PASSIVE", "PASSIVE", 0)]
)
def test_threads_look_out_for_the_next_call(given, policy, spins, monkeypatch):
    """For a while, unless the environment says otherwise; which it is left as it was."""
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("OMP_DISPLAY_ENV", "verbose")
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    status, out, err = python(
        "import os; from cnnlab.ops.native import ENGINE; before = dict(os.environ);"
        "print(ENGINE.refusal(), dict(os.environ) == before)"
    )
    assert (status, out) == (0, "None True\n")
    assert f"OMP_WAIT_POLICY = '{policy}'" in err and f"GOMP_SPINCOUNT = '{spins}'" in err


PROGRAM = """
import jax.numpy as jnp
from cnnlab import ops
names = ops.algorithms((1, 4, 4, 2), (3, 3, 2, 2))
print("native" in names, names.refused.get("native"))
print(float(ops.conv(jnp.ones((4, 4, 2)), jnp.ones((3, 3, 2, 2))).sum()))
"""


def test_turned_off():
    status, out, err = python(PROGRAM, CNNLAB_NATIVE="0")
    assert (status, err) == (0, "")
    assert out.splitlines() == ["False turned off by CNNLAB_NATIVE=0", "400.0"]


def fake_compiler(folder, name, command):
    """Makes a compiler of a shell command, and gives its variables.

    It takes the place of one of that name at once: no file is written that may be starting.
    """
    file, new = folder / name, folder / f"{name}.new"
    new.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo fake; exit; fi\n{command}\n')
    new.chmod(0o755)
    new.replace(file)
    return {"CXX": str(file), "XDG_CACHE_HOME": str(folder / "cache")}


@pytest.fixture
def compilers(tmp_path):
    return functools.partial(fake_compiler, tmp_path)


@needs_engine
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo 'plan.cc:1: error: no such thing' >&2; exit 1", "failed: plan.cc:1: error: no such"),
        ("exit 3", "failed: exit status 3"),
        (None, "no C++ compiler: looked for"),
    ],
)
def test_where_it_cannot_be_built_jax_serves(compilers, command, says):
    variables = compilers("cxx", command or "")
    if command is None:
        variables["CXX"] = "no-such-compiler"
    status, out, err = python(PROGRAM, **variables)
    assert status == 0
    first, second = out.splitlines()
    assert first.startswith("False ") and says in first and second == "400.0"
    complaints = [line for line in err.splitlines() if "everything runs as JAX" in line]
    assert len(complaints) == 1 and says in complaints[0]
    assert not list(Path(variables["XDG_CACHE_HOME"]).rglob("*.so"))


# A compiler that writes something to the file behind `-o`.
MAKES = 'for last; do :; done; echo made > "$last"'
BUILD = """
import pathlib, signal, sys
from cnnlab.ops.native import build
build.SOURCES = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in background
print(build.build())
"""


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Two sources in place of all."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("plan.cc", "winograd.cc"):
        (folder / name).touch()
    return folder


@needs_engine
def test_two_processes_build_it_once(compilers, tmp_path, few):
    """The second waits for the first; both get the same whole file."""
    log = tmp_path / "log"
    variables = compilers("cxx", f"echo run >> {log}; {MAKES}")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, few],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["b'made\\n'\n"] * 2
    assert log.read_text() == "run\n" * 3


def left(variables):
    """What lies in the folder of the libraries."""
    return sorted(p.name for p in Path(variables["XDG_CACHE_HOME"], "cnnlab", "native").iterdir())


@needs_engine
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_is_killed(number, compilers, tmp_path, monkeypatch):
    """Leaves no compiler running, and its work to the next build, which leaves nothing."""
    log, started = tmp_path / "log", tmp_path / "started"
    os.mkfifo(started)
    # As a compiler does: by a process of its own.
    hangs = f"sleep 1000 & echo $$ $! > {started}; wait"
    variables = compilers("cxx", f'case "$*" in *plan.cc*) {hangs};; esac; {MAKES}')
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, build.SOURCES],
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    waiting = [os.pidfd_open(int(pid)) for pid in started.read_text().split()]
    process.send_signal(number)
    while waiting:
        ended, _, _ = select.select(waiting, [], [], 60)
        assert ended, "still running"
        for descriptor in ended:
            os.close(descriptor)
            waiting.remove(descriptor)
    assert process.wait(60) != 0

    compilers("cxx", f"echo run >> {log}; {MAKES}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert build.build() == b"made\n"
    assert log.read_text().count("run") < len(list(build.SOURCES.glob("*.cc")))
    assert [name.partition("-")[0] for name in left(variables)] == [".lock", "cnnlab"]


def as_a_folder(file):
    file.unlink()
    (file / "inside").mkdir(parents=True)


DAMAGE = {
    "half": lambda file: file.write_bytes(file.read_bytes()[:20]),
    "zeros inside": lambda file: file.write_bytes(bytes(4) + file.read_bytes()[4:]),
    "another's": lambda file: file.write_bytes(build.seal(b"made")[:-1]),
    "garbage": lambda file: file.write_bytes(b"garbage" * 99),
    "empty": lambda file: file.write_bytes(b""),
    "a folder": as_a_folder,
    "a link to nothing": lambda file: (file.unlink(), file.symlink_to("nothing")),
}


def build_with(variables, sources, patch):
    for name, value in variables.items():
        patch.setenv(name, value)
    patch.setattr(build, "SOURCES", sources)
    assert build.build() == b"made\n"
    return variables


@pytest.fixture(scope="module")
def built(tmp_path_factory, few):
    """The cache in which a library was built."""
    variables = fake_compiler(tmp_path_factory.mktemp("built"), "cxx", MAKES)
    with pytest.MonkeyPatch.context() as patch:
        return build_with(variables, few, patch)["XDG_CACHE_HOME"]


@pytest.fixture
def made(built, few, compilers, monkeypatch):
    """A library that was built, in a cache of its own, and the variables that say so."""
    variables = compilers("cxx", MAKES)
    shutil.copytree(built, variables["XDG_CACHE_HOME"])
    return build_with(variables, few, monkeypatch)


@needs_engine
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_library_is_not_loaded_but_built_again(damage, made, caplog):
    whole = build.library_file().read_bytes()
    caplog.clear()
    damage(build.library_file())
    assert build.build() == b"made\n"
    assert build.library_file().read_bytes() == whole
    assert [name.partition("-")[0] for name in left(made)] == [".lock", "cnnlab"]
    assert len(caplog.messages) == 1


@needs_engine
def test_what_other_builds_left_is_removed(made):
    folder = build.library_file().parent
    (folder / ".cnnlab-of-an-older-version.building").mkdir()
    (folder / "cnnlab-of-an-older-version.17.part").touch()
    build.library_file().unlink()
    build.build()
    assert [name.partition("-")[0] for name in left(made)] == [".lock", "cnnlab"]


@needs_engine
def test_the_library_is_loaded_from_what_was_verified():
    """Not from the file, which may change until then; what is no library is refused."""
    with pytest.raises(OSError, match="file too short"):
        engine._open(b"no library")
    library = engine._open(build.build())
    assert library.cnnlab_threads() >= 1 and "memfd" in Path("/proc/self/maps").read_text()


@needs_engine
def test_a_module_that_is_loaded_again_finds_its_library(monkeypatch):
    """A notebook reloads what was edited; but another build can't take the place of the first."""
    assert engine.Engine().refusal() is None
    content = build.build() + b"other"
    monkeypatch.setattr(engine, "build", lambda: content)
    assert "another build" in engine.Engine().refusal()


@needs_engine
def test_a_full_disk_is_one_line(made, monkeypatch, tmp_path):
    build.library_file().unlink()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr(build, "replace_file", full)
    with pytest.raises(build.BuildError, match=f"^{tmp_path}: No space left on device$"):
        build.build()
    assert left(made) == [".lock"]


@needs_engine
def test_its_key_is_all_that_it_is_made_of(monkeypatch, tmp_path):
    onednn = build.find_onednn()
    key = build._key(onednn, "g++ 12")
    assert key == build._key(onednn, "g++ 12") != build._key(onednn, "g++ 13")
    assert key != build._key(dataclasses.replace(onednn, version="0"), "g++ 12")
    changed = shutil.copytree(build.SOURCES, tmp_path / "src")
    with (changed / "team.h").open("a") as file:
        file.write("// more\n")
    monkeypatch.setattr(build, "SOURCES", changed)
    assert key != build._key(onednn, "g++ 12")
