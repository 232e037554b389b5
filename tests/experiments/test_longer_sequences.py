"""The question `longer_sequences`: a tiny scale, and its judge on made-up data."""

import sys

from experiments.longer_sequences import FILTERS, question


def test_tiny(tiny, monkeypatch):
    monkeypatch.setattr(sys.modules["experiments.longer_sequences"], "FILTERS", ("s4d",))
    result = tiny(
        "longer_sequences", "length=16", "factors=[1,2]", "width=2", "depth=1", "steps=1",
        "batch_size=2", "seeds=1",
    )  # fmt: skip
    assert [row["factor"] for row in result["data"]["tests"]] == [1, 2]


def made_up(**lost):
    return {
        "length": 64, "factors": [1, 16],
        "tests": [
            {"filter": f, "seed": seed, "factor": k, "accuracy": 0.99 + 0.001 * seed - less}
            for f in FILTERS
            for k, less in ((1, lost.get("all", 0)), (16, lost.get(f, lost.get("all", 0))))
            for seed in range(3)
        ],
    }  # fmt: skip


def test_the_judge(verdicts):
    assert verdicts(question, made_up()) == {"learnt": "holds", "longer": "holds"}
    assert verdicts(question, made_up(hyena=0.2)) == {"learnt": "holds", "longer": "fails"}
    assert set(verdicts(question, made_up(all=0.6)).values()) == {"inconclusive"}
    assert verdicts(question, made_up(all=0.2)) == {"learnt": "fails", "longer": "holds"}
