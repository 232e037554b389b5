"""The lab book: its questions, its command, its page."""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cnnlab.config import ConfigError, compose
from cnnlab.lab.page import page
from experiments import book

CONFIGS = Path(__file__).parents[2] / "configs"
VOID = {"meta", "img", "br"}


@pytest.mark.parametrize("name", book.QUESTIONS)
def test_every_question_says_what_it_claims(name):
    question = book.load(name)
    assert question.name == name and question.title.endswith("?")
    names = [claim.name for claim in question.claims]
    assert names and len(set(names)) == len(names)
    for claim in question.claims:
        assert claim.source.startswith(("A ", "B ", "arXiv"))
        assert claim.statement and claim.refuted_by and not claim.refuted_by.endswith(".")


@pytest.mark.parametrize("name", book.QUESTIONS)
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
    assert "toeplitz:                 holds, holds, holds" in capsys.readouterr().out
    [file] = tmp_path.glob("toeplitz/*/results.json")
    result = json.loads(file.read_text())
    assert result["config"]["geometries"] == 2 and result["seconds"] > 0
    assert {"python", "jax"} <= set(result["versions"])
    first = (tmp_path / "fast.html").read_text()
    brief = (tmp_path / "fast.md").read_text()
    assert brief.count("| holds |") == 3 and "0 of 72 entries differ" in brief
    # A second call finds the answer, and what is there is what is shown.
    result["claims"][0] |= {"verdict": "fails", "evidence": "changed by hand"}
    del result["crc32"]
    file.write_text(json.dumps(result))
    run(monkeypatch, *arguments)
    second = (tmp_path / "fast.html").read_text()
    assert "changed by hand" in second and "changed by hand" not in first
    run(monkeypatch, *arguments, "force=true")
    assert "changed by hand" not in (tmp_path / "fast.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["only=[toplitz]"], "only[0]: expected one of parameter_counts"),
        (["only=[]"], "only: expected some of parameter_counts"),
        (["only=[toeplitz]", "settings.toeplitz=['geometry=2']"], "geometry: no such key"),
        (["only=[toeplitz]", "scale=tiny"], "scale: expected one of fast, full"),
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


CLAIM = {"name": "a", "source": "A 1.1", "statement": "1 < 2 & so on", "refuted_by": "2 <= 1"}
ANSWER = {
    "question": "toeplitz",
    "title": "Is it <so>?",
    "note": "A note.",
    "claims": [CLAIM | {"verdict": "holds", "evidence": "0 of 3 differ", "estimates": []}],
    "seconds": 90.0,
    "device": "1 x cpu",
    "versions": {"jax": "1.2"},
    "tables": [{"title": "T", "header": ["x"], "rows": [[1], ["<b>"]]}],
}


class Checker(HTMLParser):
    """Every tag is closed in its turn; nothing is fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.images = [], "", 0

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        assert tag != "script" and not values.get("href", "#").startswith("http")
        if tag == "img":
            assert values["src"].startswith("data:image/png;base64,") and values["alt"]
            self.images += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "one.png").write_bytes(b"\x89PNG")
    checker = Checker()
    checker.feed(page([(tmp_path, ANSWER)], {"heads": "it <broke>"}, scale="full"))
    assert not checker.open and checker.images == 1
    for text in ("1 < 2 & so on", "Is it <so>?", "<b>", "it <broke>", "0 of 3 differ", "A note."):
        assert text in checker.text
    for text in ("1 holds", "0 fails", "python -m experiments.toeplitz scale=full", "took 90"):
        assert text in " ".join(checker.text.split())
