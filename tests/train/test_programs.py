"""Compiled programs are kept between processes, in the user's cache."""

import os
import subprocess
import sys

import jax

from cnnlab.train.programs import keep_programs

PROGRAM = """
import jax, jax.numpy as jnp
from cnnlab.train.programs import keep_programs
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
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_second_process_finds_what_the_first_compiled(tmp_path):
    first, second = (run(XDG_CACHE_HOME=str(tmp_path)) for _ in range(2))
    assert "cache_misses" in first and "cache_hits" not in first
    assert "cache_hits" in second and "cache_misses" not in second
    assert first.splitlines()[-1] == second.splitlines()[-1]
    [folder] = (tmp_path / "cnnlab" / "programs").iterdir()
    assert list(folder.glob("*-cache"))


def test_where_the_folder_cannot_be_made_nothing_is_kept(tmp_path):
    (tmp_path / "file").touch()
    said = run(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert "cache_misses" not in said and "2.7" in said.splitlines()[-1]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_process_left_is_not_used(tmp_path):
    expected = run(XDG_CACHE_HOME=str(tmp_path)).splitlines()[-1]
    [entry] = (tmp_path / "cnnlab" / "programs").glob("*/*sin*-cache")
    entry.write_bytes(entry.read_bytes()[:100])
    entry.with_name(entry.name.replace("-cache", "-atime")).unlink()
    said = run(XDG_CACHE_HOME=str(tmp_path))
    assert "cache_misses" in said and said.splitlines()[-1] == expected
    assert len(entry.read_bytes()) > 100


def test_a_folder_that_was_chosen_stays():
    before = jax.config.jax_compilation_cache_dir
    assert before is not None  # conftest.py's
    keep_programs()
    assert jax.config.jax_compilation_cache_dir == before
