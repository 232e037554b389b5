"""The question `information_bound`: at a tiny scale, verdicts on made-up data, and the packing
argument's counts and volumes against random subspaces and closed forms."""

import math
from pathlib import Path

import numpy as np
import pytest
from experiments.information_bound import COUNTS, orbit_rank, question
from experiments.packing.sets import dimension
from experiments.packing.volumes import Packing, orbit_packing, rotation_packing
from experiments.sample_efficiency import question as sample_efficiency
from experiments.sample_efficiency.nets import NETS

from cnnlab import lab
from cnnlab.config import ConfigError, compose


def bound(d, bits):
    of = {"D": d, "C": 2.0, "delta": 1.0}
    several = [(t, count) for t in ("0.9", "0.95") for count in COUNTS]
    size = {"rotations": 2 * bits, "orbit": bits}
    return [{"d": d, "target": t, "count": c, **of, "bits": size[c]} for t, c in several]


def search(net, d, n):
    of = {"net": net, "d": d}
    sizes = [{"0.9": n / 2, "0.95": n + seed} for seed in (0, 1, 2)]
    return [
        {**of, "seed": i, "target": t, "n": n} for i, at in enumerate(sizes) for t, n in at.items()
    ]


def test_tiny(tiny, monkeypatch):
    """The searches, which test_sample_efficiency makes, are asked for as configured."""

    def answered(question, cfg):
        assert question is sample_efficiency
        assert cfg.dimensions == [4, 8] and cfg.scale == "fast" and cfg.progress is False
        needed = [row for d in (4, 8) for net in NETS for row in search(net, d, d * d)]
        return Path("0123abcd-s0"), {"data": {"needed": needed, "per_octave": 4}}

    monkeypatch.setattr(lab, "answer", answered)
    asked = "efficiency=['dimensions=[4,8]']"
    result = tiny("information_bound", asked, "ranks=[4,6]", "rotations=2")
    assert result["data"]["efficiency"] == "0123abcd-s0"
    verdicts = {claim["name"]: claim["verdict"] for claim in result["claims"]}
    assert verdicts["parameters_printed"] == "fails"
    assert verdicts["parameters"] == verdicts["growth"] == "holds"
    assert [(row["d"], row["rank"]) for row in result["data"]["ranks"]] == [(4, 4)] * 2 + [
        (6, 9)
    ] * 2
    assert {row["d"] for row in result["data"]["needed"]} == {4, 8}


DATA = {
    "per_octave": 32,
    "growth": [10, 20, 40, 80],
    "bounds": [row for d in (10, 20, 40, 80) for row in bound(d, d * d / 2)],
    "needed": [
        row
        for d in (10, 20)
        for net in NETS
        for row in search(net, d, 30 if net == "conv" else 5 * d * d)
    ],
    "ranks": [{"d": 4, "rank": 4}] * 2,
}


def test_the_judge_where_all_is_as_it_should_be(verdicts):
    expected = {claim.name: "holds" for claim in question.claims}
    assert verdicts(question, DATA) == expected | {"parameters_printed": "fails"}
    tables = question.tables(DATA)
    assert tables[0].title.endswith("carries 0.47 bits") and len(tables[2].rows) == 2 * len(COUNTS)
    assert tables[1].rows[0] == [10, "100", "50", "5.01", "31", "501", "501", "501", "0.100"]


def test_the_judge_where_claims_fail(verdicts):
    found = verdicts(question, DATA | {"ranks": [{"d": 4, "rank": 6}] * 2})
    assert (found["parameters_printed"], found["parameters"]) == ("holds", "fails")
    linear = [row for d in (10, 20, 40, 80) for row in bound(d, float(d))]
    assert verdicts(question, DATA | {"bounds": linear})["growth"] == "fails"

    def where(net, n):
        kept = [row for row in DATA["needed"] if (row["net"], row["d"]) != (net, 20)]
        return verdicts(question, DATA | {"needed": kept + search(net, 20, n)})

    found = where("fc_sgd", 150)
    assert (found["above"], found["above_printed"]) == ("fails", "fails")
    found = where("fc_sgd", 300)
    assert (found["above"], found["above_printed"]) == ("holds", "fails")
    assert where("conv", 300)["escapes"] == "fails"
    assert where("fc_sgd", 1000)["same_growth"] == "fails"


def test_a_search_without_an_end_leaves_the_verdict_open(verdicts):
    def without(net):
        place = {"net": net, "d": 20, "seed": 0, "target": "0.95"}
        end = lambda row: {"n": None} if place.items() <= row.items() else {}
        needed = [row | end(row) for row in DATA["needed"]]
        return verdicts(question, DATA | {"needed": needed})

    assert without("fc_adam") == verdicts(question, DATA)  # no claim is about it
    assert without("fc_sgd")["above"] == "inconclusive"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("ranks=[5]", "ranks[0]: expected an even whole number >= 4, got 5"),
        (
            "growth=[64,128]",
            "growth: expected a list of at least 3 different even whole numbers >= 4",
        ),
        ("rotations=0", "rotations: expected a whole number >= 1, got 0"),
    ],
)
def test_bad_settings_are_one_line(override, says):
    with pytest.raises(ConfigError) as caught:
        lab.answer(question, compose([override], "information_bound"))
    assert str(caught.value).startswith(says)


def subspaces(random, n, d):
    """Orthonormal bases of random subspaces of dimension d/2, `(n, d, d/2)`."""
    return np.linalg.qr(random.standard_normal((n, d, d // 2)))[0]


@pytest.mark.parametrize("d", [2, 4, 6, 10])
def test_dimensions(d):
    rotation = np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0]
    assert orbit_rank(rotation) == dimension("orbit", d) == d * d // 4
    assert dimension("rotations", d) == sum(range(d))


def test_a_packing_counts_in_bits():
    assert Packing(3, 8.0, 2.0).bits == 6
    assert Packing(3, 1.0, 2.0).bits == 0


@pytest.mark.parametrize(("d", "radius"), [(2, 0.2), (4, 0.4), (6, 0.7)])
def test_the_share_of_a_ball_is_that_of_random_subspaces(d, radius):
    """Chordal distances of 100,000 random subspaces to the first d/2 coordinates.

    The density has a factor `prod_i (1 - sin^2 phi_i)^(-1/2)` that the leading order leaves out;
    to first order in r^2 it adds `r^2 / 2 * t / (t + 2)` of the share.
    """
    bases = subspaces(np.random.default_rng(0), 100_000, d)
    chordal = np.sqrt(np.maximum(d / 2 - np.square(bases[:, : d // 2]).sum((1, 2)), 0))
    separation = math.acos(1 - 4 * radius**2 / d) / math.pi
    packing = orbit_packing(d, separation)
    assert packing.radius == pytest.approx(radius)
    inside = (chordal <= radius).sum()
    assert inside > 80
    t = packing.dimension
    leading = (radius / packing.constant) ** t
    expected = 1 + radius**2 / 2 * t / (t + 2)
    assert inside / 100_000 / leading == pytest.approx(
        expected, abs=radius**4 / 2 + 3 * expected / math.sqrt(inside)
    )


def test_lines_in_a_plane():
    """d = 2 in closed form: angles are uniform, and O(2) is two circles of length 2 sqrt(2) pi."""
    packing = orbit_packing(2, 0.1)
    assert packing.constant == pytest.approx(math.pi / 2)
    assert packing.radius == pytest.approx(math.sin(math.pi * 0.1 / 2))
    packing = rotation_packing(2, 0.1)
    assert packing.constant == pytest.approx(4 * math.sqrt(2) * math.pi / 2)


def test_disagreement_is_the_angle():
    """dist = arccos(rho) / pi, of a pair of random subspaces in a large dimension."""
    random = np.random.default_rng(1)
    d = 40
    first = np.eye(d)[:, : d // 2]
    mixed = first + 0.1 * random.standard_normal((d, d // 2))
    second = np.linalg.qr(mixed)[0]
    a, b = (2 * basis @ basis.T - np.eye(d) for basis in (first, second))
    x = random.standard_normal((20_000, d))
    signs = [np.einsum("ni,ij,nj->n", x, m, x) > 0 for m in (a, b)]
    expected = math.acos(np.trace(a @ b) / d) / math.pi
    assert (signs[0] != signs[1]).mean() == pytest.approx(expected, rel=0.05)
    # And the radius that goes with it is the chordal distance.
    chordal = math.sqrt(d / 2 - np.square(first.T @ second).sum())
    assert orbit_packing(d, expected).radius == pytest.approx(chordal)


def test_a_random_small_rotation_moves_the_matrix_by_the_root_of_two():
    random = np.random.default_rng(2)
    d = 60
    q = np.diag(np.where(np.arange(d) < d // 2, 1.0, -1.0))
    generator = random.standard_normal((d, d)) * 1e-4
    rotation = np.linalg.qr(np.eye(d) + generator - generator.T)[0]
    rotation *= np.sign(np.diag(rotation))
    ratio = np.linalg.norm(rotation.T @ q @ rotation - q) / np.linalg.norm(rotation - np.eye(d))
    assert ratio == pytest.approx(math.sqrt(2), rel=0.05)
    # So that the separation is the radius times sqrt(2 / d) / pi.
    assert rotation_packing(d, 0.1).radius * math.sqrt(2 / d) / math.pi == pytest.approx(0.1)
