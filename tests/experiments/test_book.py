"""The lab book: its questions and its command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from book_answer import ANSWER, CLAIM

from cnnlab.config import ConfigError, compose
from experiments import book

ROOT = Path(__file__).parents[2]
QUESTIONS = list(compose([], "book").settings)


def test_every_question_is_in_the_book():
    found = {path.stem for path in (ROOT / "experiments" / "questions").iterdir()}
    assert set(QUESTIONS) == found - {"__pycache__"}


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_says_what_it_claims(name):
    question = book.load(name)
    assert question.name == name and question.title.endswith("?")
    names = [claim.name for claim in question.claims]
    assert names and len(set(names)) == len(names)
    for claim in question.claims:
        assert claim.source.startswith(("A ", "B ", "arXiv"))
        assert claim.statement and claim.refuted_by and not claim.refuted_by.endswith(".")


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_answers_and_says_when_its_networks_have_learnt(name):
    """In a sentence; and nobody who trains by a `Study` can forget the baseline. What is right
    instead of a claim that is too loose is a claim, too."""
    question = book.load(name)
    module = Path(sys.modules[f"experiments.{name}"].__file__)
    files = module.parent.glob("*.py") if module.name == "__init__.py" else [module]
    source = "".join(file.read_text() for file in files)
    assert "@question.answer" in source
    assert "@question.learnt" in source or "Study(" not in source or name == "activation_maps"
    names = {claim.name for claim in question.claims}
    assert {claim.instead for claim in question.claims} <= names | {None}


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_has_a_longer_version(name):
    book.load(name)
    fast, full = compose([], name), compose(["scale=full"], name)
    assert fast.scale == "fast" and full.scale == "full"
    assert {k for k in fast if fast[k] != full[k]} > {"scale"}
    assert "full" not in fast


def test_the_users_settings_stay_ahead_of_the_scales(tmp_path):
    book.load("toeplitz")
    for order in (["scale=full", "geometries=5"], ["geometries=5", "scale=full"]):
        assert compose(order, "toeplitz").geometries == 5
    with pytest.raises(ConfigError, match=r"^scale: expected one of"):
        compose(["scale=huge"], "toeplitz")
    text = "scale: fast\nsize: 1\nfull: {sise: 2}\n"
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"^full\.sise: no such key; did you mean size\?"):
        compose([], "wrong", config_dir=tmp_path)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["book", "progress=false", *arguments])
    book.main()


def test_the_command_asks_once_and_writes_the_page(tmp_path, monkeypatch, capsys):
    settings = "settings.toeplitz=['geometries=2']"
    arguments = ["only=[toeplitz]", settings, f"output={tmp_path}"]
    run(monkeypatch, *arguments)
    assert "toeplitz:                 holds, holds, holds, holds" in capsys.readouterr().out
    [file] = tmp_path.glob("toeplitz/*/results.json")
    result = json.loads(file.read_text())
    assert result["config"]["geometries"] == 2 and result["seconds"] > 0
    assert {"python", "jax"} <= set(result["versions"])
    first = (tmp_path / "fast.html").read_text()
    brief = (tmp_path / "fast.md").read_text()
    assert brief.count("| holds |") == 4 and "0 of 72 entries differ" in brief
    # A second call finds the answer, and what is there is what is shown.
    result["claims"][0] |= {"verdict": "fails", "counted": "changed by hand"}
    del result["crc32"]
    file.write_text(json.dumps(result))
    asked = []
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: asked.append(command[2:]) or done)
    run(monkeypatch, *arguments)
    second = (tmp_path / "fast.html").read_text()
    assert "changed by hand" in second and "changed by hand" not in first and asked == []
    run(monkeypatch, *arguments, "force=true")
    [[*question, force]] = asked
    assert question[:2] == ["cnnlab", "toeplitz"] and force == "force=True"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["only=[toplitz]"], "only[0]: expected one of tabular"),
        (["only=[]"], "only: expected some of tabular"),
        (["only=[toeplitz]", "settings.toeplitz=['geometry=2']"], "geometry: no such key"),
        (["only=[toeplitz]", "scale=tiny"], "scale: expected one of fast, full"),
        (["ask=false"], "ask: expected true with keep=null"),
        (["settings.locallity=[]"], "did you mean settings.locality?"),
    ],
)
def test_what_is_refused_before_the_first_question(
    arguments, message, tmp_path, monkeypatch, capsys
):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *arguments, f"output={tmp_path / 'out'}")
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_page_of_what_was_kept(tmp_path, monkeypatch, capsys):
    """The answers without their data or where they were, and their figures, are all it takes."""
    folder = tmp_path / "measured"
    (folder / "figures").mkdir(parents=True)
    for name in ("one", "one-narrow"):
        (folder / "figures" / f"{name}.png").write_bytes(b"\x89PNG")
    config = ANSWER["config"] | {"output": str(tmp_path)}
    found = ANSWER | {"config": config, "data": {"large": []}, "crc32": 1}
    monkeypatch.setattr(book, "_ask", lambda name, arguments, force: (folder, found))
    shared = ["only=[toeplitz]", f"keep={tmp_path / 'kept'}", f"output={tmp_path}"]
    run(monkeypatch, *shared)
    first = (tmp_path / "fast.html").read_text()
    assert first.count("data:image/png") == 2
    (tmp_path / "fast.html").unlink()
    monkeypatch.setattr(book, "_ask", None)
    run(monkeypatch, *shared, "ask=false")
    assert (tmp_path / "fast.html").read_text() == first
    assert len(list((tmp_path / "kept/toeplitz/figures").iterdir())) == 2
    run(monkeypatch, *shared[1:], "ask=false")  # of all that is kept, and no more
    assert (tmp_path / "fast.html").read_text() == first
    with pytest.raises(SystemExit):
        run(monkeypatch, *shared[1:], "ask=false", "scale=full")
    assert "toeplitz: what is kept in" in (err := capsys.readouterr().err) and "scale=fast" in err
    assert not (tmp_path / "full.html").exists()
    with pytest.raises(SystemExit):
        run(monkeypatch, "ask=false", f"keep={tmp_path}", f"output={tmp_path}")
    assert f"keep: expected a folder of kept answers, got {tmp_path}" in capsys.readouterr().err
    small = json.loads((tmp_path / "kept/toeplitz/answer.json").read_text())
    assert "data" not in small and "output" not in small["config"]
    (tmp_path / "kept/toeplitz/answer.json").write_text('{"claims": []}')
    with pytest.raises(SystemExit):
        run(monkeypatch, *shared, "ask=false")
    assert "toeplitz: " in (err := capsys.readouterr().err) and "not an answer that keep=" in err


def test_what_flips_in_a_replication_is_kept_and_listed(tmp_path, monkeypatch, capsys):
    """With other seeds, 'a' fails, 'wrong' is not settled, 'right' is right again. What is kept
    can be measured once more by itself, and shown by itself."""
    other = [
        claim | {"verdict": {"a": "fails", "wrong": "inconclusive"}.get(claim["name"], "holds")}
        for claim in ANSWER["claims"]
        if claim["name"] != "printed"
    ]
    seeds = []

    def ask(name, arguments, force):
        seeds.append(compose(arguments, name).seed)
        claims = other if seeds[-1] else ANSWER["claims"]
        return tmp_path, ANSWER | {"claims": claims, "figures": {}}

    monkeypatch.setattr(book, "_ask", ask)
    shared = ["only=[toeplitz]", f"output={tmp_path}", f"keep={tmp_path / 'kept'}"]
    run(monkeypatch, *shared)
    assert "With other seeds" not in (tmp_path / "fast.md").read_text()
    pages = []
    for more in ["replicate=true"], ["ask=false", "replicate=true"], ["ask=false"]:
        capsys.readouterr()
        run(monkeypatch, *shared, *more)
        out = capsys.readouterr().out.splitlines()
        assert [line for line in out if line.startswith(("flipped", "settled once"))] == [
            "flipped: toeplitz, A 1.1: holds, then fails: 1 < 2 & so on",
            "settled once: toeplitz, A 1.1: fails, then inconclusive: not at all",
        ]
        pages += [(tmp_path / "fast.html").read_text(), (tmp_path / "fast.md").read_text()]
    assert seeds == [0, 0, 100_000, 100_000]  # the last asked nothing
    counted = "of 3 verdicts 1 are the same, 1 flipped, and 1 are settled by one of the two"
    assert all(counted in page and "holds, then fails: 1 &lt; 2" in page for page in pages)


def test_a_question_that_fails_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    asked = lambda name, arguments, force: (
        "no data" if name == "filters" else (tmp_path, ANSWER | {"question": name})
    )
    monkeypatch.setattr(book, "_ask", asked)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "only=[filters,toeplitz]", f"output={tmp_path}")
    assert stop.value.code == 1
    out, err = capsys.readouterr()
    assert "toeplitz: " in out and "1 of 2 questions have no answer: filters: no data" in err
    assert "no data" in (tmp_path / "fast.html").read_text()


def test_the_words_are_those_of_the_question_as_it_is():
    """What was measured stays; a claim that is no longer made keeps its words."""
    question = book.load("toeplitz")
    claim = question.claims[0]
    old = CLAIM | {"name": claim.name, "statement": "old", "verdict": "fails"}
    now = question.worded(
        ANSWER | {"claims": [old, CLAIM], "figures": {"four_pixels": "", "x": "y"}}
    )
    assert (now["title"], now["note"]) == (question.title, question.note)
    assert now["claims"] == [old | {"statement": claim.statement, "source": claim.source,
        "refuted_by": claim.refuted_by, "instead": claim.instead}, CLAIM]  # fmt: skip
    assert now["figures"]["x"] == "y" and now["figures"]["four_pixels"]
