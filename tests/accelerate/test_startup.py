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
import atexit, os, pickle, sys
import beside
class Mine: pass
atexit.register(lambda: print(pickle.loads(pickle.dumps(Mine())).__module__))
assert __name__ == "__main__" and sys.path[0] == os.path.dirname(os.path.realpath(__file__))
os.chdir("/")
assert os.path.exists(__file__) and sys.argv[0] == "linked" and not os.path.exists("linked")
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
    """Through a link, from another folder than its own; it goes elsewhere, and is `__main__` to the
    end."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "beside.py").touch()
    (own / "script.py").write_text(SCRIPT)
    (tmp_path / "linked").symlink_to(own / "script.py")
    found = run(tmp_path, "-m", "cnnlab.accelerate", "--verbose", "linked", "-x", "1")
    assert found[:2] == (3, "True ['-x', '1']\n__main__\n")
    assert not (own / "__pycache__" / f"script.{sys.implementation.cache_tag}.pyc").exists()
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
    # jax is loaded, and acceleration begins, in the middle of loading a part of cnnlab.
    inside = "import cnnlab.ops\nfrom cnnlab.switch import mode\nprint(mode().on)"
    assert run(tmp_path, "-c", inside, CNNLAB_ACCELERATE="1") == (0, "True\n", "")
    found = run(tmp_path, "-c", program, CNNLAB_ACCELERATE="yes")
    assert found[0] == 1 and found[2].endswith("expected 0 or 1, got 'yes'\n")


@pytest.fixture
def main_is_put_back(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "argv", [""])
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    yield
    cnnlab.accelerate(False)


def test_a_package_and_its_exit_status(tmp_path, monkeypatch, capsys, main_is_put_back):
    package = tmp_path / "a_program"
    package.mkdir()
    (package / "__init__.py").write_text("NAME = 'a program'")
    program = "import sys\nfrom . import NAME\nprint(__name__, NAME, sys.argv)"
    (package / "__main__.py").write_text(program)
    monkeypatch.chdir(tmp_path)
    assert main(["-m", "a_program", "a", "-m"]) == 0
    expected = ["__main__", "a", "program", f"['{package / '__main__.py'}',", "'a',", "'-m']"]
    assert capsys.readouterr().out.split() == expected
    assert sys.modules["__main__"].__package__ == "a_program"


def test_a_folder_that_is_a_program(tmp_path, capsys, main_is_put_back):
    (tmp_path / "__main__.py").write_text("import beside\nprint(__file__)")
    (tmp_path / "beside.py").touch()
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / '__main__.py'}\n"


@pytest.mark.parametrize(
    "given", [[], ["-m"], ["--fast", "x.py"], ["missing.py"], ["-m", "nn.missing"]]
)
def test_what_can_not_be_run(given, capsys, main_is_put_back):
    assert main(given) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1


def test_help(capsys):
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: ")
