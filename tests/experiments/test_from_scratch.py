"""The question `from_scratch`: at a tiny scale, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.from_scratch import question
from experiments.from_scratch.recipes import RECIPES, compare

from cnnlab.bench import grid
from cnnlab.config import ConfigError
from cnnlab.ops import describe

WHAT = ("product", "transpose", "gradients", "counts", "undoes", "reassembled")
EXPECTED = {c.name: "fails" if c.name == "undoes" else "holds" for c in question.claims}
SLOW = {"lax": 1.0, "native": 0.5, "torch": 0.6, "im2col": 1.5, "fft": 3.0}
SLOW |= {"unfold (JAX)": 4.0, "unfold (PyTorch)": 3.0}


def case(name="a", first=None, **times):
    """Three repetitions, with slightly different times; `first`: others in the first of them."""
    noise = lambda n: (1, 1.01, 0.99) if n in ("im2col", "fft") else (1, 1, 1)
    seconds = {n: [t * e for e in noise(n)] for n, t in (SLOW | times).items()}
    for n, t in (first or {}).items():
        seconds[n][0] = t
    return {"case": name, "seconds": seconds, "wrong": {}}


def made(*cases, differ=None):
    """Data of these cases; `differ`: how many entries do, by what was compared."""
    differ = {"undoes": 4} | (differ or {})
    equal = [{"what": what, "compared": 9, "differ": differ.get(what, 0)} for what in WHAT]
    return {"equal": equal, "times": list(cases or (case(), case("b")))}


def test_tiny(tiny, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # it sets this, and tests leave no trace
    problem = describe((2, 6, 6, 2), (3, 3, 2, 3))
    depthwise = describe((2, 6, 6, 2), (3, 3, 1, 2), groups=2)
    monkeypatch.setattr(grid, "GRID", {"dense": problem, "depthwise": depthwise})
    cases = ("cases=[dense,depthwise]", "geometries=4", "repeats=3", "seconds=0.0001")
    result = tiny("from_scratch", *cases)
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    for name in ("product", "transpose", "reassembles", "undoes", "counts"):
        assert found[name] == EXPECTED[name]
    installed = result["data"]["torch"] == "installed"
    routes = {"lax", "im2col", *(RECIPES if installed else ["unfold (JAX)"])}
    for row in result["data"]["times"]:
        assert row["wrong"] == {} and routes <= set(row["seconds"])
        assert {len(of) for of in row["seconds"].values()} == {3}


def test_gradients_are_compared_with_right_ones():
    """A kernel of 2 with 3 zeros before the input and none behind: lax's own has wrong entries."""
    rows = compare(np.random.default_rng([100_000, 23]), torch=False)
    differ = {row["what"]: row["differ"] for row in rows}
    assert differ.pop("undoes") and not any(differ.values())


def test_a_case_that_is_not_there(tiny):
    with pytest.raises(ConfigError, match=r"^cases\[0\]: "):
        tiny("from_scratch", "cases=[4x4]")


def test_the_judge(verdicts):
    judged = lambda *cases: verdicts(question, made(*cases))
    assert judged(case("a"), case("b")) == EXPECTED
    # Faster than lax, but not than oneDNN; then faster than all.
    assert judged(case("a"), case("b", im2col=0.7)) == EXPECTED | {"didactic": "fails"}
    both = {"didactic": "fails", "didactic_best": "fails"}
    assert judged(case("a"), case("b", im2col=0.3)) == EXPECTED | both
    # What only the choosing repetition found does not count.
    assert judged(case("a", first={"im2col": 0.1}), case("b")) == EXPECTED
    fast = {"unfold (JAX)": 1.1, "unfold (PyTorch)": 3.0}
    assert judged(case("a", **fast), case("b", **fast)) == EXPECTED | {"optimized": "fails"}
    # Not twice as fast as the recipe of the other library, which is faster than lax.
    fast = {"unfold (PyTorch)": 0.9}
    found = judged(case("a", **fast), case("b", **fast))
    assert found == EXPECTED | dict.fromkeys(("optimized", "optimized_best", "didactic"), "fails")
    # Of the geometric mean over cases, in every repetition: once less than twice as fast.
    assert judged(case("a", **{"unfold (JAX)": 1.1}), case("b"))["optimized"] == "holds"
    now = judged(case("a", first={"unfold (JAX)": 1.1}), case("b", **{"unfold (JAX)": 1.1}))
    assert now["optimized"] == "inconclusive"


@pytest.mark.parametrize(
    ("part", "claim"),
    [
        *(("product", "product"), ("transpose", "transpose"), ("gradients", "transpose")),
        *(("counts", "counts"), ("reassembled", "reassembles")),
    ],
)
def test_one_entry_that_differs(part, claim, verdicts):
    assert verdicts(question, made(differ={part: 1})) == EXPECTED | {claim: "fails"}


def test_fold_that_undoes_unfold(verdicts):
    assert verdicts(question, made(differ={"undoes": 0})) == EXPECTED | {"undoes": "holds"}
