"""A question from one function: its settings, its claim against the first value, what it shows."""

import importlib
import re
import sys

import pytest

from cnnlab import lab
from cnnlab.config import ConfigError, compose


def answered(question, tmp_path, *overrides):
    cfg = compose([f"output={tmp_path}", "progress=false", *overrides], question.name)
    folder, result = lab.answer(question, cfg)
    return folder, result["claims"][0], result["tables"][0]


@pytest.fixture
def coins():
    question = lab.Question("coins", "Which coin is fair?")

    @lab.compare(question, "A 1", lab.at_least, -0.2, coin=["euro", "penny", "lira"], seeds=2)
    def heads(coin, seeds):
        """No coin is far behind."""
        return [{"euro": 0.5, "penny": 0.4, "lira": 0.1}[coin] + seed / 100 for seed in seeds]

    return question


def test_pairs_of_the_same_seed(coins, tmp_path):
    folder, claim, table = answered(coins, tmp_path, "seed=5")
    assert (claim["name"], claim["statement"]) == ("heads", "No coin is far behind.")
    assert claim["refuted_by"] == "a coin of which it is not true"
    assert claim["verdict"] == "fails"
    assert re.search(
        r"heads, coin penny - euro: -0.1 \[.*n = 2\), expected at least -0.2", claim["evidence"]
    )
    assert table["title"] == "Heads by coin"
    assert table["header"] == ["coin", "mean", "deviation", "n"]
    assert [row[:2] for row in table["rows"]] == [
        ["euro", "0.555"], ["penny", "0.455"], ["lira", "0.155"]
    ]  # fmt: skip
    assert (folder / "figures" / "heads.png").is_file()


def test_its_values_are_settings(coins, tmp_path):
    _, claim, table = answered(coins, tmp_path, "coins=[penny,euro]", "seeds=3")
    assert claim["verdict"] == "holds" and table["rows"][1][-1] == 3
    assert compose(["scale=full"], "coins").seeds == 10
    with pytest.raises(ConfigError, match=r"^coins: expected a list of at least 2 different texts"):
        compose(["coins=[euro]"], "coins")


def test_numbers_without_seeds(tmp_path):
    question = lab.Question("squares", "Does a square grow?")

    @lab.compare(question, "A 2", side=[1, 2.5], refuted_by="a shrinking square", full={})
    def area(side):
        """A longer side has no smaller square."""
        return side**2

    _, claim, table = answered(question, tmp_path)
    assert claim["verdict"] == "holds" and claim["refuted_by"] == "a shrinking square"
    assert claim["evidence"] == "area, side 2.5 - 1: 5.25, expected at least 0"
    assert table["rows"] == [[1, "1"], [2.5, "6.25"]]
    assert "seeds" not in compose([], "squares")
    figure = question.draw({"compared": [{"side": 1, "area": 1}, {"side": 2.5, "area": 6.25}]})[
        "area"
    ]
    assert figure.axes[0].get_xticks().tolist() == [1, 2.5]


def test_an_edited_question_is_asked_anew(tmp_path, monkeypatch):
    """One's own; those that come with cnnlab are known by their settings."""
    text = """
from cnnlab import lab
question = lab.Question("edited", "?")
@lab.compare(question, "A 1", side=[1, 2])
def area(side):
    return side * 1
"""
    monkeypatch.syspath_prepend(tmp_path)
    folders = []
    for power in (1, 2, 2):
        (tmp_path / "edited.py").write_text(text.replace("* 1", f"* {power}"))
        monkeypatch.delitem(sys.modules, "edited", raising=False)
        importlib.invalidate_caches()
        folders.append(answered(importlib.import_module("edited").question, tmp_path)[0])
    monkeypatch.delitem(sys.modules, "edited")
    assert folders[0] != folders[1] == folders[2]
    assert importlib.import_module("experiments.toeplitz").question.code() == ""


@pytest.mark.parametrize(
    ("varied", "says"),
    [
        ({}, "expected one name with its values, got []"),
        ({"a": [1, 2], "b": [1, 2]}, "expected one name with its values, got ['a', 'b']"),
        ({"a": [1]}, "a: expected two or more whole numbers, numbers or texts, got [1]"),
        ({"a": [1, "b"]}, "a: expected two or more whole numbers, numbers or texts, got [1, 'b']"),
    ],
)
def test_what_can_not_be_compared(varied, says):
    with pytest.raises(TypeError, match=f"^compare: {re.escape(says)}$"):
        lab.compare(lab.Question("none", "?"), "A 1", **varied)


@pytest.mark.parametrize(("force", "again"), [(False, "command goes"), (True, "force=true, goes")])
def test_an_interrupted_question_says_how_it_goes_on(tmp_path, force, again):
    question = lab.Question("stopped", "Is it done?")

    @lab.compare(question, "A 2", side=[1, 2], full={})
    def area(side):
        """A longer side has no smaller square."""
        raise KeyboardInterrupt

    cfg = compose([f"output={tmp_path}", "progress=false", f"force={force}"], "stopped")
    with pytest.raises(KeyboardInterrupt, match=f"{again} on from there"):
        lab.command(question)(cfg)
