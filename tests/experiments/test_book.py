"""The lab book: its questions, its command, its page."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cnnlab.config import ConfigError, compose
from cnnlab.lab import brief, markdown, page
from experiments import book

ROOT = Path(__file__).parents[2]
QUESTIONS = list(compose([], "book").settings)
VOID = {"meta", "img", "br", "line", "rect", "circle"}


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
    small = json.loads((tmp_path / "kept/toeplitz/answer.json").read_text())
    assert "data" not in small and "output" not in small["config"]
    (tmp_path / "kept/toeplitz/answer.json").write_text('{"claims": []}')
    with pytest.raises(SystemExit):
        run(monkeypatch, *shared, "ask=false")
    assert "toeplitz: " in (err := capsys.readouterr().err) and "not an answer that keep=" in err


def test_what_flips_in_a_replication_is_listed(tmp_path, monkeypatch, capsys):
    """With other seeds, 'a' fails, and 'wrong' is not settled."""
    other = [
        claim | {"verdict": {"a": "fails", "wrong": "inconclusive"}.get(claim["name"], "holds")}
        for claim in ANSWER["claims"]
        if claim["name"] != "printed"
    ]
    seeded = lambda arguments: any(text.startswith("seed=100") for text in arguments)
    found = lambda again: ANSWER | {"claims": other if again else ANSWER["claims"]}
    asked = lambda name, arguments, force: (tmp_path, found(seeded(arguments)))
    monkeypatch.setattr(book, "_ask", asked)
    run(monkeypatch, "only=[toeplitz]", "replicate=true", f"output={tmp_path}")
    flipped = [line for line in capsys.readouterr().out.splitlines() if line.startswith("flipped")]
    assert flipped == [
        "flipped: toeplitz, A 1.1: holds, then fails: 1 < 2 & so on",
        "flipped: toeplitz, A 1.1: fails, then inconclusive: not at all",
    ]
    assert "2 verdicts flipped:" in (tmp_path / "fast.html").read_text()


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


CLAIM = {
    "name": "a", "source": "A 1.1", "statement": "1 < 2 & so on", "refuted_by": "2 <= 1",
    "instead": None, "verdict": "holds", "evidence": "0 of 3 differ", "counted": "0 of 3 differ",
    "quantities": [],
}  # fmt: skip
QUANTITY = {
    "what": "points", "mean": 1.0, "deviation": 0.4, "low": 0.5, "high": 1.7, "n": 4,
    "freedom": 3, "least": 0.0, "most": None, "needed": None,
}  # fmt: skip
ANSWER = {
    "question": "toeplitz",
    "title": "Is it <so>?",
    "answer": "It is, of s^2 c' weights.",
    "note": "A note.",
    "config": {"scale": "fast"},
    "learnt": {"verdict": "holds", "evidence": "all beat 80", "quantities": []},
    "claims": [
        CLAIM,
        CLAIM
        | {"name": "printed", "statement": "as printed", "verdict": "fails", "instead": "right"},
        CLAIM | {"name": "wrong", "statement": "not at all", "verdict": "fails"},
        CLAIM
        | {
            "name": "right", "source": "B 2", "statement": "with W_ij", "counted": "0 of 7 move",
            "quantities": [QUANTITY, QUANTITY | {"what": "all", "low": None, "high": None}],
        },
    ],
    "figures": {"one": "What one sees."},
    "seconds": 90.0,
    "device": "1 x cpu",
    "versions": {"jax": "1.2"},
    "tables": [{"title": "T", "header": ["x"], "rows": [[1], ["<b>"]]}],
}  # fmt: skip


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
        assert tag in VOID or self.open.pop() == tag

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
    shown = " ".join(checker.text.split())
    for text in (
        "2 holds", "2 fails", "python -m experiments.toeplitz scale=full took 90 s", "all beat 80",
        "What one sees.", "Without an answer: heads: it <broke>", "All measured with jax 1.2.",
        "points 1.00 [0.50, 1.70] (n = 4) all 1 (n = 4)", "1.5 expected at least 0",
    ):  # fmt: skip
        assert text.replace(" ", "") in shown.replace("\N{NO-BREAK SPACE}", "").replace(" ", "")


def test_the_summary_says_what_is_wrong_with_the_chapters(tmp_path):
    """In the order of their sections; what a paper says is not laid at their door."""
    claims = [
        CLAIM | {"name": "late", "source": "A 10.2", "statement": "late"},
        CLAIM | {"name": "early", "source": "A 2.9", "statement": "early"},
        CLAIM | {"name": "open", "source": "arXiv:1", "verdict": "inconclusive"},
        *ANSWER["claims"],
    ]
    checker = Checker()
    checker.feed(page([(tmp_path, ANSWER | {"claims": claims})], {}, scale="fast"))
    text = " ".join(checker.text.split())
    assert "chapter A1103 chapter B0001 published papers0010" in text
    found = text.index("measurements: 1 A 1.1: not at all Found: 0 of 3 differ."), text.index(
        "leaves out: 1 A 1.1: as printed Rather: with Wij Found: 0 of 3 differ."
    ), text.index("Not settled by these measurements: 1 arXiv:1")  # fmt: skip
    right = "Right: 4 A 1.1: 1 < 2 & so on A 2.9: early A 10.2: late B 2: with Wij"
    assert [*found, text.index(right)] == sorted([*found, text.index(right)])


def test_the_same_as_markdown():
    text = brief([ANSWER])
    assert text.startswith("# The lab book\n\n| claims of | wrong | loose | open | right |\n")
    assert "| chapter A | 1 | 1 | 0 | 1 |" in text
    assert "- A 1.1: as printed *Rather:* with <i>W</i><sub>ij</sub>\n" in text
    assert "# Is it <so>?\n\nIt is, of <i>s</i><sup>2</sup> <i>c</i>&prime; weights.\n" in text
    assert "points: 1.00 [0.50, 1.70] (<i>n</i> = 4), expected at least 0; all: 1" in text
    assert "| <i>x</i> |" not in text and "\n\n| <i>x</i> |\n| --- |\n" in markdown(ANSWER)


def test_an_interval_is_drawn_to_scale(tmp_path):
    """The limit 0 and the interval 0.5 to 1.7 around 1, on -0.136 to 1.836."""
    shown = page([(tmp_path, ANSWER)], {}, scale="fast")
    place = lambda value: round(300 * (value + 0.136) / 1.972, 1)
    assert f'<circle class="mean" cx="{place(1)}"' in shown
    assert f'class="whisker" x1="{place(0.5)}" x2="{place(1.7)}"' in shown
    assert f'class="range" x="{place(0)}" width="{round(300 - place(0), 1)}"' in shown
    assert f'<text x="{place(1)}" y="16">1</text>' in shown
    assert shown.count('class="whisker"') == 1 and shown.count('class="mean"') == 2
    assert (
        "<i>s</i><sup>2</sup> <i>c</i>&prime; weights" in shown and "<i>W</i><sub>ij</sub>" in shown
    )


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


def test_a_figure_stands_below_the_claim_that_it_serves(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "one.png").write_bytes(b"\x89PNG")
    first = ANSWER["claims"][-1] | {"name": "first", "id": ""}
    answer = ANSWER | {"claims": [first, *ANSWER["claims"]]}
    shown = lambda **more: page([(tmp_path, answer | more)], {}, scale="fast")
    assert 'class="slim"' not in shown()
    (tmp_path / "figures" / "one-narrow.png").write_bytes(b"\x89PNG")
    text = shown(figures={"one": "Left: one. Right: two."})
    assert 'class="slim">Above: one. Below: two.<' in text
    assert text.count("data:image/png") == 2
    after = lambda text: text.index("<figure") > text.index('id="toeplitz-right"')
    assert after(shown()) and not after(shown(serves={"one": "first"}))
