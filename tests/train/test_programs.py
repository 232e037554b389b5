"""Compiled programs are kept between processes, in the user's cache."""

import errno
import os
import subprocess
import sys

import jax
import pytest

from cnnlab.jax_internals import compilation_cache
from cnnlab.train.programs import Programs, keep_programs

# As if for a processor that this one is not, with AVX-512: XLA then adds two hints to what it finds
# in a program that it loads, and says at length that the processor does not have them.
PROGRAM = """
import jax, jax.numpy as jnp
from cnnlab.jax_internals import compilation_cache
from cnnlab.train.programs import keep_programs

combine = compilation_cache.combine_executable_and_time
compilation_cache.combine_executable_and_time = lambda program, time: combine(
    program.replace(b"-avx512f,", b"+avx512f,"), time
)
keep_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
jax.monitoring.register_event_listener(lambda name, **_: print(name.split("/")[-1]))

def sin3(x):
    return jnp.sin(x) * 3

print(float(jax.jit(sin3)(2.0)))
"""


def run(**variables):
    given = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**given, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_second_process_finds_what_the_first_compiled(tmp_path):
    first, second = (run(XDG_CACHE_HOME=str(tmp_path)) for _ in range(2))
    assert "cache_misses" in first and "cache_hits" not in first
    assert "cache_hits" in second and "cache_misses" not in second
    assert first.splitlines()[-1] == second.splitlines()[-1]
    [folder] = (tmp_path / "cnnlab" / "programs").iterdir()
    [entry] = folder.glob("*sin*-cache")

    # Damaged, or left by a process that was killed while it wrote: compiled anew, without a word.
    whole = entry.read_bytes()
    entry.write_bytes(whole[:100])
    entry.with_name(entry.name.replace("-cache", "-atime")).unlink()
    third = run(XDG_CACHE_HOME=str(tmp_path))
    assert "cache_misses" in third and third.splitlines()[-1] == first.splitlines()[-1]
    assert len(entry.read_bytes()) == len(whole)


def test_where_the_folder_cannot_be_made_nothing_is_kept(tmp_path):
    (tmp_path / "file").touch()
    said = run(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert "cache_misses" not in said and "2.7" in said.splitlines()[-1]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def zeros_inside(file):
    data = file.read_bytes()
    file.write_bytes(data[:20] + bytes(20) + data[40:])


def as_a_folder(file):
    file.unlink()
    file.mkdir()


DAMAGE = {
    "half": lambda file: file.write_bytes(file.read_bytes()[:30]),
    "empty": lambda file: file.write_bytes(b""),
    "zeros inside": zeros_inside,
    "another program's": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "a folder": as_a_folder,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_program_is_removed_and_written_anew(damage, tmp_path):
    value = compilation_cache.compress_executable(bytes(range(256)))
    programs = Programs(str(tmp_path))
    assert programs.get("jit_f") is None
    programs.put("jit_f", value)
    assert programs.get("jit_f") == value
    damage(tmp_path / "jit_f-cache")
    assert programs.get("jit_f") is None
    assert not list(tmp_path.glob("jit_f*"))
    programs.put("jit_f", value)
    assert programs.get("jit_f") == value


def test_a_full_disk_is_one_line(tmp_path, monkeypatch, caplog):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    programs = Programs(str(tmp_path))
    monkeypatch.setattr("cnnlab.train.programs.seal", full)
    programs.put("jit_f", compilation_cache.compress_executable(b"program"))
    assert caplog.messages == [
        f"a compiled program is not kept: {tmp_path}: No space left on device"
    ]


def test_a_folder_that_was_chosen_stays():
    before = jax.config.jax_compilation_cache_dir
    assert before is not None  # conftest.py's
    keep_programs()
    assert jax.config.jax_compilation_cache_dir == before
