"""The question `long_convolutions`: a tiny scale, and its judge on made-up data."""

from experiments.long_convolutions import LONG, SHORT, question


def test_tiny(tiny, verdicts):
    result = tiny("long_convolutions", "length=32", "channels=2", "seeds=1")
    data = result["data"]
    reach = {row["layer"]: row["reach"] for row in data["looks"]}
    assert reach[SHORT] == 3 and all(reach[name] == 32 for name in ("s4d", "hyena"))
    assert verdicts(question, data) == {
        "equivariant": "holds", "on_a_circle": "fails", "local": "holds",
    }  # fmt: skip  # a border of 2 outputs is more than 5 % of 32


def made_up(**changes):
    row = {"moved": 1e-7, "around": 0.5, "wrong": 0.01, "reach": 3, "most": 2} | changes
    long = {"wrong": 0.9, "reach": 64}
    looks = [{"layer": n, "seed": 0, **row} | (long if n in LONG else {}) for n in (SHORT, *LONG)]
    return {"length": 64, "looks": looks}


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}
    for name, changes in (
        ("equivariant", {"moved": 1e-3}), ("on_a_circle", {"wrong": 0.2}), ("local", {"reach": 60}),
    ):  # fmt: skip
        found = verdicts(question, made_up(**changes))
        assert {n for n, v in found.items() if v == "fails"} == {name}
    for name, changes in (("on_a_circle", {"wrong": 0.02}), ("local", {"reach": 3})):
        data = made_up()
        data["looks"][-1] |= changes
        found = verdicts(question, data)
        assert {n for n, v in found.items() if v == "fails"} == {name}
