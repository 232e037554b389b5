"""Filtering, grouping and pivoting of tidy data."""

from cnnlab.lab import Records
from cnnlab.lab.records import combinations, tidy

ROWS = Records(
    {"pool": pool, "seed": seed, "loss": loss}
    for pool, seed, loss in [("avg", 0, 1.0), ("max", 0, 2.0), ("avg", 1, 3.0), ("max", 1, 4.0)]
)


def test_filters():
    assert ROWS.where(pool="avg")["loss"] == [1.0, 3.0]
    assert ROWS.where(pool=("avg", "max"), seed=1)["loss"] == [3.0, 4.0]
    assert ROWS.where(lambda r: r["loss"] > 1, pool="avg")["loss"] == [3.0]
    assert ROWS.where(pool="sum") == [] and ROWS[1]["loss"] == 2.0


def test_groups_in_the_order_of_their_first_record():
    groups = ROWS.by("pool")
    assert list(groups) == ["avg", "max"] and groups["max"]["loss"] == [2.0, 4.0]
    assert list(ROWS.by("seed", "pool")) == [(0, "avg"), (0, "max"), (1, "avg"), (1, "max")]
    assert groups["avg"].by("seed")[1][0] == {"pool": "avg", "seed": 1, "loss": 3.0}


def test_values_by_group():
    assert ROWS.by("pool", of="loss") == {"avg": [1.0, 3.0], "max": [2.0, 4.0]}


def test_pivots():
    expected = {"avg": {0: [1.0], 1: [3.0]}, "max": {0: [2.0], 1: [4.0]}}
    assert ROWS.pivot("pool", "seed", "loss") == expected


def test_combinations():
    assert combinations(a=[1, 2], b="xy")[2] == {"a": 2, "b": "x"} and len(combinations()) == 1


def test_lists_of_dicts_are_tidy():
    found = tidy({"rows": [{"a": 1}], "numbers": [1], "none": [], "mixed": [{"a": 1}, 2]})
    kinds = {name: type(value) for name, value in found.items()}
    assert kinds == {"rows": Records, "numbers": list, "none": list, "mixed": list}
