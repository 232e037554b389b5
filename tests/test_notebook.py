"""What IPython shows: errors in a line, one bar in a cell; in its shell, without a kernel."""

import math
import os
import signal
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

import cnnlab
from cnnlab import notebook
from cnnlab.console import Bar
from cnnlab.errors import ConfigError, Interrupted


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        hooks = sys.displayhook, sys.excepthook
        made = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        notebook.one_line_errors()
        yield made
        sys.displayhook, sys.excepthook = hooks
        InteractiveShell.clear_instance()


def run(shell, source):
    """What a cell shows: its text, and what it displays."""
    with capture_output() as found:
        result = shell.run_cell(source)
    return result, found.stdout, found.outputs


def test_an_error_is_one_line_and_its_traceback_is_there_when_asked_for(shell):
    result, said, _ = run(shell, "import cnnlab; cnnlab.compose(['epohcs=3'])")
    assert isinstance(result.error_in_exec, ConfigError)
    assert said.splitlines() == [f"ConfigError: {result.error_in_exec}"]
    _, said, _ = run(shell, "%tb")
    assert "Traceback" in said and "cnnlab.compose" in said and str(result.error_in_exec) in said
    assert "Traceback" in run(shell, "1 / 0")[1]  # what cnnlab did not expect


def test_a_rule_for_errors_that_the_user_has_stays(shell, monkeypatch):
    monkeypatch.setattr(shell, "custom_exceptions", (KeyError,))
    notebook.one_line_errors()
    assert shell.custom_exceptions == (KeyError,)


def test_a_bar_in_a_notebook_is_one_output(shell, monkeypatch, capsys):
    monkeypatch.setattr(shell, "kernel", None, raising=False)
    monkeypatch.setattr(notebook, "_PAUSE", math.inf)  # all come within it
    shown = []
    publish = lambda data, *, transient, update=False, **_: shown.append((data, transient, update))
    monkeypatch.setattr(shell.display_pub, "publish", publish)
    with Bar(show=True, unit="step") as bar:
        bar.start(0, 400, "compiling")
        for step in range(1, 401):
            bar.update(step, "loss <0.5>")
            bar.keep(step, "validation loss 0.6")
    (first, made, new), (last, same, changed) = shown
    assert made["display_id"] == same["display_id"] and (new, changed) == (False, True)
    assert first["text/plain"] == "step 0/400  compiling"
    assert last["text/plain"] == "step 400/400  loss <0.5>  |  validation loss 0.6"
    assert last["text/html"] == (
        '<progress value="400" max="400"></progress> '
        "step 400/400  loss &lt;0.5&gt;  |  validation loss 0.6"
    )
    assert capsys.readouterr() == ("", "")


def test_all_of_it_is_there_after_import():
    assert {"analysis", "bench", "lab", "fit", "summary", "build", "tune"} <= set(dir(cnnlab))
    assert cnnlab.lab.Study and callable(cnnlab.tune) and cnnlab.analysis.receptive_field


TINY = (
    *("data=fake", "data.shape=[6,6,1]", "data.num_classes=4", "data.train_size=96"),
    *("data.test_size=40", "data.val_fraction=0.25", "backbone=mlp", "backbone.widths=[8]"),
    *("optimizer=sgd", "batch_size=24", "eval_batch_size=16", "steps=8"),
    *("log_every.steps=1", "evaluate_every.steps=4", "checkpoint_every.steps=2", "output=here"),
)


@pytest.fixture(scope="module")
def cells(shell, tmp_path_factory):
    """What the cells of a notebook show whose kernel is interrupted after step 3 of 8."""
    with pytest.MonkeyPatch.context() as patch:
        first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
        patch.chdir(first)
        patch.setattr(shell, "kernel", None, raising=False)

        def interrupted(bar, done, text):
            update(bar, done, text)
            if done == 3:
                patch.setattr(Bar, "update", update)
                signal.raise_signal(signal.SIGINT)

        update = Bar.update
        patch.setattr(Bar, "update", interrupted)
        shell.user_ns["words"] = list(TINY)
        build = "lab = cnnlab.build(cnnlab.compose(words))"
        goto = "import os; os.chdir({!r})"
        sources = {
            **{"begin": "import cnnlab; from IPython.display import display", "build": build},
            **{"stop": "result = lab.run()", "before": "display(lab)"},
            **{"elsewhere": goto.format(str(second)), "go on": "result = lab.run()"},
            **{"after": "display(lab)", "result": "display(result)"},
            **{"back": goto.format(str(first)), "again": f"{build}\n{build}\nother = lab.run()"},
        }
        yield {name: run(shell, source) for name, source in sources.items()}


def test_an_interrupt_keeps_the_run_and_the_same_cell_goes_on(cells, shell):
    result, said, _ = cells["stop"]
    assert isinstance(result.error_in_exec, Interrupted)
    assert said.splitlines() == [f"Interrupted: {result.error_in_exec}"]
    assert "stopped at step 4 of 8" in said
    assert cells["go on"][0].error_in_exec is None and shell.user_ns["result"]["steps"] == 8
    assert all("<progress" in cells[name][2][0].data["text/html"] for name in ("stop", "go on"))


def test_built_twice_and_in_another_folder_it_is_the_same_run(cells, shell, tmp_path_factory):
    assert cells["again"][0].error_in_exec is None
    assert shell.user_ns["other"] == shell.user_ns["result"]
    assert not list(tmp_path_factory.getbasetemp().glob("second*/*"))


def test_a_run_shows_how_far_it_is_and_what_it_gave(cells):
    [before], [after], [result] = (cells[name][2] for name in ("before", "after", "result"))
    assert "stopped after step 4" in before.data["text/plain"]
    assert "complete" in after.data["text/plain"]
    assert "accuracy 0." in result.data["text/plain"]
    assert ["<img" in o.data["text/html"] for o in (before, after, result)] == [False, True, True]


LAYER = """
import equinox as eqx
import jax


class Net(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return x.reshape(len(x), -1) @ self.weight
"""


def test_a_layer_that_autoreload_reads_again_is_another_run(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "reloaded_layer.py"
    file.write_text(LAYER)
    build = """
net = reloaded_layer.Net(np.ones((36, 4), np.float32))
lab = cnnlab.build(cnnlab.compose(words), model=net)
found.append((lab.directory.path, lab.model(np.ones((1, 6, 6, 1)))[0]))
"""
    shell.user_ns |= {"words": list(TINY), "found": []}
    try:
        assert run(shell, "%load_ext autoreload\n%autoreload 2")[0].success
        assert run(shell, f"import cnnlab, reloaded_layer\nimport numpy as np\n{build}")[0].success
        assert run(shell, build)[0].success
        file.write_text(LAYER.replace("@ self.weight", "@ (2 * self.weight)"))
        later = file.stat().st_mtime + 10
        os.utime(file, (later, later))
        assert run(shell, build)[0].success
    finally:
        run(shell, "%autoreload 0")
        sys.modules.pop("reloaded_layer", None)
    (first, a), (same, _), (other, b) = shell.user_ns["found"]
    assert first == same != other and (2 * a == b).all()
