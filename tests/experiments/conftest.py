"""The questions of the lab book at a tiny scale; commands in this process."""

import importlib
import json
import sys

import pytest

from cnnlab.config import compose
from cnnlab.lab import answer
from experiments.book import load


@pytest.fixture
def tiny(tmp_path):
    """`tiny(name, *overrides, trust=())`: answer a question; its result as `results.json` holds it.

    Every claim must have a verdict with its numbers, and every figure must be there.
    """

    def run(name, *overrides, trust=()):
        question = load(name)
        cfg = compose([*overrides, f"output={tmp_path}", "progress=false"], name, trust=trust)
        folder, result = answer(question, cfg)
        assert question.name == name
        written = json.loads((folder / "results.json").read_text())
        assert written.pop("crc32")
        assert written == json.loads(json.dumps(result))
        assert [c["name"] for c in result["claims"]] == [c.name for c in question.claims]
        for claim in result["claims"]:
            assert claim["verdict"] in ("holds", "fails", "inconclusive")
            assert any(letter.isdigit() for letter in claim["evidence"]), claim
        figures = sorted(p.stem for p in (folder / "figures").iterdir())
        narrow = (f"{name}-narrow" for name in question.draw(result["data"], narrow=True))
        assert figures == sorted([*question.draw(result["data"]), *narrow])
        return result

    return run


@pytest.fixture
def verdicts():
    """`verdicts(question, data)`: holds, fails or inconclusive, by claim."""
    return lambda question, data: {n: v.verdict for n, v in question.judge(data).items()}


@pytest.fixture
def call(monkeypatch, capsys):
    """`call(module, *arguments)`: `(out, err)` of a command that ends with this status."""

    def call(module, *arguments, status=0):
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        capsys.readouterr()
        try:
            code = importlib.import_module(f"experiments.{module}").main()
        except SystemExit as stop:
            code = stop.code
        assert (code or 0) == status
        return capsys.readouterr()

    return call
