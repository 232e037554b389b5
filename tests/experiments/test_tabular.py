"""The question `tabular`: a tiny scale, and its judge on made-up data."""

import importlib.util

import numpy as np
import pytest
from experiments.tabular import FOREST, LINEAR, MLP, RIVER, SVM, ahead, load, question

from cnnlab import lab
from cnnlab.config import ConfigError, compose
from cnnlab.lab import Records


def test_tiny(tiny):
    result = tiny("tabular", "tables=[iris]", "splits=2", "trees=2", "epochs=20")
    found = Records(result["data"]["found"])
    assert len(found) == 2 * 4 and set(found["examples"]) == {150} and set(found["columns"]) == {4}
    assert all(30 < a <= 100 for a in found.where(model=LINEAR)["accuracy"])


@pytest.mark.parametrize(
    ("table", "shape", "counts"),
    [("phishing", (1250, 9), [702, 548]), ("segments", (2310, 18), [330] * 7),
     ("bananas", (5300, 2), [2924, 2376])],
)  # fmt: skip
def test_tables_of_river(table, shape, counts):
    x, y = load(table)
    assert x.shape == shape and np.isfinite(x).all() and np.bincount(y).tolist() == counts


def test_without_river(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    question.check_settings(compose(["tables=[iris]"], "tabular"))
    said = r"tables: .*pip install 'cnnlab\[book\]'.* some of iris,"
    with pytest.raises(ConfigError, match=said):
        question.check_settings(compose([f"tables=[iris,{next(iter(RIVER))}]"], "tabular"))


def made_up(**accuracy):
    mean = {MLP: 95.0, FOREST: 97.0, SVM: 97.5, LINEAR: 95.0, **accuracy}
    return {
        "found": [
            {
                "table": table, "split": split, "model": model, "examples": 100, "columns": 4,
                "accuracy": value + split / 10 + (split % 2) / 20 * (model != MLP),
                "frequent": 50.0,
            }
            for table in ("iris", "wine")
            for split in range(8)
            for model, value in mean.items()
        ]
    }  # fmt: skip


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "spoilt"),
    [("forests", {FOREST: 90.0}), ("machines", {SVM: 90.0}), ("default", {LINEAR: 99.0})],
)
def test_the_judge_where_one_fails(verdicts, claim, spoilt):
    found = verdicts(question, made_up(**spoilt))
    assert found.pop(claim) == "fails" and set(found.values()) == {"holds"}


def test_what_has_not_learnt_says_nothing(verdicts):
    worse = {model: 40.0 for model in (MLP, FOREST, SVM, LINEAR)}
    assert set(verdicts(question, made_up(**worse)).values()) == {"inconclusive"}


def test_splits_that_overlap_count_for_less():
    found = Records(made_up()["found"])
    each = found.where(table="iris")
    plain = lab.paired(*(each.where(model=m)["accuracy"] for m in (FOREST, MLP)))
    wider = ahead(found, FOREST, MLP, "iris")
    assert wider.mean == pytest.approx(plain.mean)
    # sqrt(1 + 8 * 0.25 / 0.75)
    assert wider.high - wider.mean == pytest.approx(1.9149 * (plain.high - plain.mean), rel=1e-4)
    assert plain.needed(0.9) is not None and wider.needed(0.9) is None
