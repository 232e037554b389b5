"""A question made of functions: what its config is, what is refused, what its answer holds."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import pytest

from cnnlab import lab
from cnnlab.config import ConfigError, compose
from cnnlab.lab import Count, Counts, Positive, Records, Verdict


@pytest.fixture
def question():
    """How fast does a coin's share of heads settle?"""
    question = lab.Question("coin", "Is a coin fair?", note="The chapter has no coins.")

    @question.check
    def check(tosses):
        if tosses[0] == 13:
            raise ConfigError("tosses: expected luck")

    @question.measure(full={"seeds": 50, "tosses": [1000]})
    def measure(
        cells,
        *,
        seed,
        tosses: Annotated[Counts, "of each coin"] = (10, 20),
        seeds: Count = 3,
        bias: Annotated[float, "number from 0 to 1"] = 0.5,
    ):
        share = lambda tosses, seed: int(tosses * bias) / tosses
        return {
            "shares": cells.records("share", share, tosses=tosses, seed=range(seed, seed + seeds)),
            "bias": bias,
        }

    @question.claim("A 1.1", "a coin that lands on its head too often")
    def fair(shares: Records, bias: float) -> Verdict:
        """A coin lands on its head
        half of the time."""
        return lab.at_most(max(shares["share"]), 0.5, f"largest share at {bias:g}")

    @question.table
    def means(shares):
        """Share of heads where {bias} is fair"""
        return [
            {"tosses": n, "share": lab.estimate(some["share"]).mean}
            for n, some in shares.by("tosses").items()
        ]

    @question.table
    def counts(shares):
        yield lab.Table(f"{len(shares)} coins", ["n"], [[len(shares)]])

    @question.figure(3, 2)
    def shares_by_tosses(figure, shares):
        figure.subplots().plot(shares["tosses"], shares["share"], "o")

    @question.figure(1, 1)
    def nothing(figure, bias):
        assert bias

    return question


def test_the_arguments_are_the_config(question):
    cfg = compose([], "coin")
    assert (cfg.tosses, cfg.seeds, cfg.bias, cfg.scale, cfg.seed) == ([10, 20], 3, 0.5, "fast", 0)
    assert "full" not in cfg and "types" not in cfg
    full = compose(["scale=full", "tosses=[5]"], "coin")
    assert (full.seeds, full.tosses) == (50, [5])


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seeds=0", "seeds: expected a whole number >= 1, got 0"),
        ("tosses=[2,x]", "tosses[1]: expected a whole number >= 1, got 'x'"),
        ("bias=1.5", "bias: expected a number from 0 to 1, got 1.5"),
        ("toses=3", "toses: no such key; did you mean tosses?"),
        ("seed=-1", "seed: expected a whole number >= 0, got -1"),
    ],
)
def test_wrong_settings(question, override, says):
    with pytest.raises(ConfigError) as caught:
        compose([override], "coin")
    assert str(caught.value) == says


def test_a_section_of_settings(monkeypatch, capsys):
    """What is struck, and how?"""

    @dataclass(frozen=True)
    class Coin:
        sides: Counts = (2,)
        weight: Annotated[Positive, "grams"] = 5.0

    purse = {"left": Coin(), "right": Coin(weight=6.0)}
    coin, question = Coin(), lab.Question("mint", "How heavy is a coin?")

    @question.measure(full={"coin.weight": 7.0})
    def measure(
        cells,
        *,
        coin: Annotated[Coin, "what is struck"] = coin,
        purse: Annotated[Mapping[str, Coin], "more of them"] = purse,
    ):
        assert {type(one) for one in purse.values()} == {Coin}
        heavier = purse["left"].weight + purse["right"].weight
        return {"weight": coin.weight, "sides": coin.sides, "heavier": heavier}

    data = lambda *overrides: question.measured(compose(overrides, "mint"), lab.Cells())
    assert data() == {"weight": 5.0, "sides": [2], "heavier": 11.0}
    changed = data("coin.sides=[3]", "purse.left.weight=1", "scale=full")
    assert changed == {"weight": 7.0, "sides": [3], "heavier": 7.0}
    with pytest.raises(ConfigError, match=r"^coin.weight: expected a number > 0, got 0$"):
        data("coin.weight=0")
    with pytest.raises(ConfigError, match=r"^purse.left.weight: expected a number > 0, got 0$"):
        data("purse.left.weight=0")
    monkeypatch.setattr(sys, "argv", ["mint", "--help"])
    lab.command(question)()
    page = " ".join(capsys.readouterr().out.split())
    assert "coin.sides=[2] list of at least 1 whole numbers >= 1; what is struck coin" in page
    assert "coin.weight=5.0 number > 0; what is struck; grams" in page


def test_the_answer(question, tmp_path):
    cfg = compose([f"output={tmp_path}", "progress=false"], "coin")
    folder, result = lab.answer(question, cfg)
    [claim] = result["claims"]
    assert claim["name"] == "fair" and claim["verdict"] == "holds"
    assert claim["statement"] == "A coin lands on its head half of the time."
    assert claim["evidence"] == "largest share at 0.5: 0.5, expected at most 0.5"
    assert result["data"]["shares"][0] == {"tosses": 10, "seed": 0, "share": 0.5}
    assert result["tables"] == [
        {
            "title": "Share of heads where 0.5 is fair",
            "header": ["tosses", "share"],
            "rows": [[10, 0.5], [20, 0.5]],
        },
        {"title": "6 coins", "header": ["n"], "rows": [[6]]},
    ]
    files = sorted(file.name for file in (folder / "figures").iterdir())
    assert files == ["shares_by_tosses-narrow.png", "shares_by_tosses.png"]
    assert lab.answer(question, cfg) == (folder, json.loads(json.dumps(result)))
    # A judge of a file's data finds what it found in fresh ones.
    again = question.judge(json.loads((folder / "results.json").read_text())["data"])
    assert again["fair"].evidence == claim["evidence"]
    (folder / "results.json").write_text("changed by hand")
    forced = compose([f"output={tmp_path}", "progress=false", "force=true"], "coin")
    assert lab.answer(question, forced)[1]["data"] == result["data"]


def test_more_seeds_find_those_before(tmp_path):
    """However many are asked for, each is measured once, and the answer is of as many as asked."""

    @dataclass(frozen=True)
    class Tosses:
        seeds: Count = 2
        most_seeds: Count = 2

    question, thrown = lab.Question("dice", "How high is a die?"), []

    @question.measure(full={"most_seeds": 9})
    def measure(
        cells,
        *,
        seed: int,
        sides: Count = 6,
        seeds: Count = 2,
        most_seeds: Count = 2,
        again: Annotated[Tosses, "thrown once more"] = Tosses(),
    ):
        def height(seed):
            thrown.append(seed)
            return {"height": seed % sides}

        of = lambda name, numbers: cells.seeds(
            name, height, lambda _: False, first=seed, least=numbers[0], most=numbers[1]
        )
        return {
            "heights": of("once", (seeds, most_seeds)),
            "more": of("again", (again.seeds, again.most_seeds)),
        }

    @question.claim("A 1", "a lower one")
    def high(heights, more):
        """It is not negative."""
        return lab.none_of([h < 0 for h in heights["height"] + more["height"]], "throws", "are low")

    def asked(*overrides):
        cfg = compose([f"output={tmp_path}", "progress=false", *overrides], "dice")
        folder, result = lab.answer(question, cfg)
        return folder, [len(result["data"][name]) for name in ("heights", "more")]

    first, numbers = asked()
    assert numbers == [2, 2] and thrown == [0, 1, 0, 1]
    assert asked("most_seeds=4") == (first, [4, 2]) and thrown[4:] == [2, 3]
    assert asked("again.most_seeds=3") == (first, [2, 3]) and thrown[6:] == [2]
    assert asked("seeds=1", "most_seeds=1") == (first, [1, 2]) == asked("seeds=1", "most_seeds=1")
    assert asked("sides=4", "seeds=1")[0] != first and thrown[7:] == [0, 1, 0, 1]


def test_settings_that_do_not_fit_together(question, tmp_path):
    cfg = compose(["tosses=[13]", f"output={tmp_path / 'none'}"], "coin")
    with pytest.raises(ConfigError, match=r"^tosses: expected luck$"):
        lab.answer(question, cfg)
    assert not (tmp_path / "none").exists()


def test_the_command(question, tmp_path, monkeypatch, capsys):
    main = lab.command(question, examples=["seeds=7"])
    monkeypatch.setattr(sys, "argv", ["coin", "--help"])
    main()
    page = capsys.readouterr().out
    assert "Is a coin fair?" in page and page.count(" seeds=7\n") == 1
    assert "list of at least 1 whole numbers >= 1; of each coin" in page
    assert "the first of the seeds" in page
    monkeypatch.setattr(sys, "argv", ["coin", "bias=0.9", f"output={tmp_path}", "progress=false"])
    main()
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["Is a coin fair?", ""] and out[2].startswith("FAILS         A 1.1: A coin")
    assert out[-1].endswith("results.json")


def test_an_argument_without_a_kind():
    question = lab.Question("coin", "Is a coin fair?")
    for kind in (int, Annotated[int, "whole numbre"]):

        def measure(cells, *, seeds: kind = 3):
            return {}

        with pytest.raises(TypeError, match=r"^coin: seeds: expected Annotated"):
            question.measure(full={})(measure)


def test_what_has_not_learnt_says_nothing(tmp_path):
    """Do networks that know nothing say something?"""
    question = lab.Question("learning", "Is more better?")

    @question.measure(full={"best": 95.0})
    def measure(cells, *, best: Positive = 90.0):
        return {"arms": {"a": [best, best + 1], "b": [best - 1, best]}}

    @question.learnt
    def learnt(arms):
        return lab.beats({name: lab.estimate(of) for name, of in arms.items()}, 85)

    @question.answer
    def answer(arms):
        return f"{len(arms)} arms."

    @question.claim("A 1.1", "a worse one")
    def ahead(arms):
        """a is ahead."""
        return lab.at_least(lab.paired(arms["a"], arms["b"]), 0.5, "points")

    @question.claim("A 1.1", "a worse one", arms=())
    def untrained(arms):
        """So it is of other numbers."""
        return lab.at_least(lab.paired(arms["a"], arms["b"]), 0.5, "points")

    @question.claim("A 1.1", "a worse one", arms=["a"])
    def one(arms):
        """So it is of the one that has learnt."""
        return lab.at_least(lab.paired(arms["a"], arms["b"]), 0.5, "points")

    @question.claim("A 1.1", "a third arm", instead="ahead")
    def two(arms):
        """There are two."""
        return lab.exact(0, len(arms), "arms", "are missing")

    def asked(*overrides):
        cfg = compose([f"output={tmp_path}", "progress=false", *overrides], "learning")
        return lab.answer(question, cfg)[1]

    known, ignorant = asked(), asked("best=85")
    verdicts = lambda result: [claim["verdict"] for claim in result["claims"]]
    assert verdicts(known) == ["holds"] * 4
    assert known["learnt"]["verdict"] == "holds" and known["answer"] == "2 arms."
    assert verdicts(ignorant) == ["inconclusive", "holds", "holds", "holds"]
    evidence = ignorant["claims"][0]["evidence"]
    reason = "not learnt: b, to beat logistic regression: 84.5, expected at least 85"
    assert evidence.startswith(f"{reason}; points: ")
    assert [claim["reason"] for claim in ignorant["claims"]] == [reason, "", "", ""]
    assert [claim["instead"] for claim in known["claims"]] == [None] * 3 + ["ahead"]
