"""The question `output_shapes`: at a tiny scale, and its judge on made-up data."""

import copy

import pytest

from cnnlab.config import ConfigError
from experiments.output_shapes import judge


def row(given=10, refused=0, printed=0, general=0):
    return {"given": given, "refused": refused, "printed": printed, "general": general}


def kernel(size, paddings, total):
    return {"kernel": size, "P": paddings, "total": total, "sizes": 40, "lost": 0}


DATA = {
    "shapes": {
        "even padding": {"convolution": row(), "lax": row(), "formulas": row()},
        "too large": {"convolution": row(refused=10, printed=10), "lax": row(printed=7)}
        | {"formulas": row()},
        "dilated": {"convolution": row(printed=9), "lax": row(printed=9), "formulas": row()},
        "uneven padding": {"convolution": row(printed=5), "lax": row(), "formulas": row()},
    },
    "values": [{"sums": 20, "sums_differ": 0, "maxima": 9, "maxima_differ": 0}],
    "kernels": [kernel(1, [0], 0), kernel(2, [], 1), kernel(3, [1], 2)],
}
EXPECTED = dict.fromkeys(judge(DATA), "holds") | dict.fromkeys(
    ("any_kernel", "holes", "preserve"), "fails"
)


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    result = tiny("output_shapes", "geometries=40", "arrays=3")
    assert {c["name"]: c["verdict"] for c in result["claims"]} == EXPECTED
    layers = result["data"]["shapes"]["even padding"]
    assert layers["convolution"]["given"] == layers["lax"]["given"] == 10
    too_large = result["data"]["shapes"]["too large"]
    assert too_large["convolution"]["refused"] == 10 and too_large["lax"]["refused"] == 0
    assert [k["P"] for k in result["data"]["kernels"][:4]] == [[0], [], [1], []]


def test_nothing_to_compare(tiny):
    with pytest.raises(ConfigError, match=r"^arrays: expected a whole number >= 1, got 0"):
        tiny("output_shapes", "arrays=0")


@pytest.mark.parametrize(
    ("path", "value", "claims", "verdict"),
    [
        (("shapes", "even padding", "lax", "printed"), 1, ["size"], "fails"),
        (("shapes", "too large", "lax", "printed"), 0, ["any_kernel"], "holds"),
        (("shapes", "uneven padding", "lax", "general"), 1, ["general"], "fails"),
        (("shapes", "dilated", "formulas", "general"), 1, ["general"], "fails"),
        (("kernels", 1, "P"), [1], ["preserve"], "holds"),
        (("kernels", 2, "P"), [1, 2], ["preserve_sides"], "fails"),
        (("kernels", 1, "total"), 2, ["preserve_sides"], "fails"),
        (("kernels", 1, "lost"), 1, ["preserve_sides"], "fails"),
        (("values", 0, "sums_differ"), 1, ["sum"], "fails"),
        (("values", 0, "maxima_differ"), 1, ["maximum"], "fails"),
    ],
)
def test_one_number_changes_one_verdict(path, value, claims, verdict):
    data = copy.deepcopy(DATA)
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert verdicts(data) == EXPECTED | dict.fromkeys(claims, verdict)


def test_the_judge():
    assert verdicts(DATA) == EXPECTED
    data = copy.deepcopy(DATA)
    data["shapes"]["dilated"] = {"lax": row(), "formulas": row()}
    assert verdicts(data) == EXPECTED | {"holes": "holds"}
