"""The question `strides_of_arrays`: a tiny scale, and its judge on data with a mistake."""

import pytest
from experiments.strides_of_arrays import PRINTED, VIEWS, question


def test_tiny(tiny):
    result = tiny("strides_of_arrays", "arrays=2", "largest=4")
    assert tuple(result["data"]["printed"]) == PRINTED[1]
    assert len(result["data"]["views"]) == 2 * len(VIEWS)
    verdicts = {claim["name"]: claim["verdict"] for claim in result["claims"]}
    assert verdicts.pop("by_memory") == "fails"
    assert set(verdicts.values()) == {"holds"}
    rows = {row[0]: row[1:] for row in result["tables"][0]["rows"]}
    assert rows["as it is"][1:3] == [0, 0] and rows["transposed"][1:3] == [0, 2]


def made_up(printed=(96, 3, 1), fresh=None, views=None, patches=None):
    sound = {"axes": 3, "strides_differ": 0, "values": 24, "elsewhere": 0, "not_undone": 0}
    view = {
        "view": "as it is", "strides": [8, 2, 1], "values": 24, "copied": False,
        "flat_copied": False, "not_by_memory": 0, "not_by_index": 0,
    }  # fmt: skip
    return {
        "printed": list(printed),
        "fresh": [sound, sound | (fresh or {})],
        "views": [view, view | (views or {})],
        "patches": [{"values": 18, "differ": 0} | (patches or {})],
    }


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "spoilt"),
    [
        ("printed", {"printed": (384, 12, 4)}),
        ("row_major", {"fresh": {"strides_differ": 1}}),
        ("step", {"fresh": {"elsewhere": 1}}),
        ("unvect", {"fresh": {"not_undone": 1}}),
        ("by_memory", {"views": {"not_by_memory": 1}}),
        ("by_index", {"views": {"not_by_index": 1}}),
        ("no_copy", {"views": {"copied": True}}),
        ("windows", {"patches": {"differ": 1}}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claim, spoilt):
    found = verdicts(question, made_up(**spoilt))
    assert found.pop(claim) == "fails" and set(found.values()) == {"holds"}
