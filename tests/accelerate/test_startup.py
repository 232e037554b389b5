"""Programs that know nothing of cnnlab: a script, a module, a variable of the environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cnnlab
from cnnlab.accelerate.__main__ import main

ROOT = Path(cnnlab.__file__).parents[1]
SCRIPT = """
import os, sys
assert __name__ == "__main__" and sys.path[0] == os.path.dirname(os.path.abspath(__file__))
assert "jax" not in sys.modules
os.environ["JAX_ENABLE_X64"] = "1"  # read as jax is loaded
import jax, jax.numpy as jnp
assert jax.config.jax_enable_x64
conv = lambda x, k: jax.lax.conv(x, k, (1, 1), "SAME")
x, k = jnp.ones((1, 4, 8, 8), "float32"), jnp.ones((8, 4, 3, 3), "float32")
print("cnnlab" in jax.jit(conv).lower(x, k).as_text(), sys.argv[1:])
sys.exit(3)
"""


def run(folder, *arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    found = run(tmp_path, "-m", "cnnlab.accelerate", "--verbose", "script.py", "-x", "1")
    assert found[:2] == (3, "True ['-x', '1']\n")
    assert found[2].startswith("native: forward of 1x8x8x4 k3x3x4x8 "), found[2]


def test_a_variable_and_both_orders_of_import(tmp_path):
    program = """
import sys, cnnlab
assert "jax" not in sys.modules and "cnnlab.ops" not in sys.modules
import cnnlab.accelerate
assert callable(cnnlab.accelerate) and "jax" not in sys.modules
import jax
from cnnlab.switch import mode
print(mode().on)
cnnlab.accelerate(False)
print(mode().on)
"""
    assert run(tmp_path, "-c", program, CNNLAB_ACCELERATE="1") == (0, "True\nFalse\n", "")
    found = run(tmp_path, "-c", program, CNNLAB_ACCELERATE="yes")
    assert found[0] == 1 and found[2].endswith("expected 0 or 1, got 'yes'\n")


def test_a_module_and_its_exit_status(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["", "-m", "a_program", "a", "-m"])
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    (tmp_path / "a_program.py").write_text("import sys\nprint(__name__, sys.argv[1:])")
    try:
        assert main() == 0
    finally:
        cnnlab.accelerate(False)
    assert capsys.readouterr().out == "__main__ ['a', '-m']\n"


@pytest.mark.parametrize("given", [[], ["-m"], ["--fast", "x.py"], ["missing.py"]])
def test_what_can_not_be_run(given, capsys):
    assert main(given) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1


def test_help(capsys):
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: ")
