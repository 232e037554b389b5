"""The question `from_scratch`: at a tiny scale, and its judge on made-up data."""

import copy

import pytest

from cnnlab.bench import grid
from cnnlab.config import ConfigError
from cnnlab.ops import describe
from experiments.from_scratch import RECIPES, judge

ROW = {"product": [0, 9], "transpose": [0, 1], "gradients": [0, 9], "counts": [0, 9]}
ROW |= {"undoes": [4, 9], "reassembled": [0, 9]}
EXPECTED = dict.fromkeys(
    ("product", "transpose", "reassembles", "counts", "optimized", "didactic", "didactic_best"),
    "holds",
) | {"undoes": "fails"}
SLOW = {"lax": 1.0, "native": 0.5, "torch": 0.6, "im2col": 1.5, "fft": 3.0}
SLOW |= {"unfold (JAX)": 4.0, "unfold (PyTorch)": 3.0}


def case(*changes, **times):
    """Three repetitions, with slightly different times; `changes` to each of them."""
    noisy = lambda e: {n: t * e if n in ("im2col", "fft") else t for n, t in (SLOW | times).items()}
    return {"repeats": [noisy(e) | c for e, c in zip((1, 1.01, 0.99), changes or [{}] * 3)]}  # noqa: B905


def made(*cases, row=ROW):
    return {"equal": [ROW, row], "times": {f"case {i}": c for i, c in enumerate(cases)}}


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # it sets this, and tests leave no trace
    problem = describe((2, 6, 6, 2), (3, 3, 2, 3))
    depthwise = describe((2, 6, 6, 2), (3, 3, 1, 2), groups=2)
    monkeypatch.setattr(grid, "GRID", {"dense": problem, "depthwise": depthwise})
    cases = ("cases=[dense,depthwise]", "geometries=4", "repeats=3", "seconds=0.0001")
    result = tiny("from_scratch", *cases)
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    assert found["undoes"] == "fails"
    for name in ("product", "transpose", "reassembles", "counts"):
        assert found[name] == "holds"
    times = result["data"]["times"]
    assert all(c["wrong"] == {} for c in times.values())
    recipes = set(RECIPES) if result["data"]["torch"] == "installed" else {"unfold (JAX)"}
    assert all({"lax", "im2col", *recipes} <= set(r) for c in times.values() for r in c["repeats"])


def test_a_case_that_is_not_there(tiny):
    with pytest.raises(ConfigError, match=r"^cases\[0\]: "):
        tiny("from_scratch", "cases=[4x4]")


def test_the_judge():
    slow = case(), case()
    assert verdicts(made(*slow)) == EXPECTED
    # Faster than lax, but not than oneDNN; then faster than all.
    assert verdicts(made(case(), case(im2col=0.7))) == EXPECTED | {"didactic": "fails"}
    both = {"didactic": "fails", "didactic_best": "fails"}
    assert verdicts(made(case(), case(im2col=0.3))) == EXPECTED | both
    # What only the choosing repetition found does not count.
    lucky = case({"im2col": 0.1}, {}, {})
    assert verdicts(made(lucky, case())) == EXPECTED
    fast = {"unfold (JAX)": 1.1, "unfold (PyTorch)": 3.0}
    assert verdicts(made(case(**fast), case(**fast)))["optimized"] == "fails"
    mixed = case(**{"unfold (JAX)": 1.0})
    assert verdicts(made(mixed, case()))["optimized"] == "inconclusive"


@pytest.mark.parametrize(
    ("part", "claim"),
    [
        *(("product", "product"), ("transpose", "transpose"), ("gradients", "transpose")),
        *(("counts", "counts"), ("reassembled", "reassembles")),
    ],
)
def test_one_entry_that_differs(part, claim):
    row = copy.deepcopy(ROW)
    row[part][0] = 1
    assert verdicts(made(case(), case(), row=row)) == EXPECTED | {claim: "fails"}


def test_fold_that_undoes_unfold():
    data = made(case(), case())
    for row in data["equal"]:
        row["undoes"] = [0, 9]
    assert verdicts(data) == EXPECTED | {"undoes": "holds"}
