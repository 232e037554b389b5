"""The question `packing`: at a tiny scale, verdicts on made-up data; rotated tasks and their
distance against closed forms, packings against a plain loop."""

import copy
import itertools
import math

import numpy as np
import pytest
from experiments.packing import question
from experiments.packing.sets import (
    SPACES,
    dimension,
    distances_from_one,
    distances_in_ball,
    greedy_packing,
)
from experiments.packing.tasks import APART, SAME, labels, orbit, rotated_pairs
from scipy.stats import kstest

from cnnlab.analysis import rotations
from cnnlab.errors import ConfigError

TINY = ("dimensions=[2,4]", "pairs=4", "inputs=500", "seeds=2", "packed=[2,3]", "one_of=[4,8,16]",
        "signs=200", "draws=2000", "patience=3.0",
        "walkers=200", "walk=20")  # fmt: skip
N = 20_000


def pairs():
    """Disagreements of 1 / (pi sqrt(d)) times the distance on the orbit, rising with the other."""
    found = []
    for d in (2, 8, 32):
        for kind in (*APART, SAME):
            for far in np.linspace(0.1, 1, 12) * math.sqrt(d):
                same = kind == SAME
                count = 0 if same else round(N * far / (math.pi * math.sqrt(d)))
                found.append({
                    "kind": kind, "d": d, "seed": 0, "inputs": N, "not_product": 0,
                    "rotations": float(far + 0.3), "orbit": 0.0 if same else float(far),
                    "disagree": count, "negative": count,
                })  # fmt: skip
    return found


def place(space, d, exponent):
    """Packings of `20 (1.5 / delta)^exponent` points; the last at a constant distance."""
    at, root = {"space": space, "d": d}, 0.5 if space == "functions" else 1.0
    distances = {8: 1.0, 16: 0.8, 32: 0.6, 64: 0.45}
    constant = {
        "one_of": None,
        "distance": 1.0,
        "m": round(4 * math.exp(0.2 * d * d)),
        "full": True,
    }
    packings = []
    for seed, wobble in enumerate((-0.01, 0.0, 0.01)):
        sizes = {n: round(20 * (1.5 / x) ** exponent * (1 + wobble)) for n, x in distances.items()}
        packings += [
            {**at, "seed": seed, "one_of": n, "distance": x**root, "m": sizes[n], "full": True}
            for n, x in distances.items()
        ] + [{**at, "seed": seed, **constant}]  # fmt: skip
    volumes = {n: 1 / (15 * (1.5 / x) ** exponent) for n, x in distances.items()}
    return {
        "small": [at | {"inside": 1353, "walkers": 10_000, "fraction": math.exp(-2 / exponent)}],
        "packings": packings,
        "balls": [
            at | {"one_of": n, "distance": distances[n], "draws": 10**7, "within": round(1e7 * v),
                  "half": round(1e7 * v / 2**exponent)}
            for n, v in volumes.items()
        ],
    }  # fmt: skip


def places(exponents):
    """Those of several spaces and dimensions, together."""
    found = [place(*at, exponent) for at, exponent in exponents.items()]
    return {part: [row for one in found for row in one[part]] for part in found[0]}


EXPONENTS = {(space, d): dimension(space, d) for space in SPACES for d in (2, 3, 4)}


@pytest.fixture
def data():
    return {"pairs": pairs(), **places(EXPONENTS)}


def test_tiny(tiny):
    result = tiny("packing", *TINY)
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    assert found["product"] == "holds" and found["printed"] == "fails"
    assert found["more_different_orbit"] in ("holds", "inconclusive")
    sets = [(p["space"], p["d"], p["seed"], p["one_of"]) for p in result["data"]["packings"]]
    sizes = (4, 8, 16, None)
    assert sets == list(itertools.product(SPACES, (2, 3), (0, 1), sizes))
    assert all(p["full"] for p in result["data"]["packings"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("dimensions=[2,3]", "dimensions[1]: expected an even whole number >= 2, got 3"),
        ("packed=[1,2]", "packed[0]: expected a whole number >= 2, got 1"),
        ("packed=[3]", "packed: expected a list of at least 2 whole"),
        ("pairs=1", "pairs: expected a whole number >= 2, got 1"),
        ("one_of=[1,2]", "one_of[0]: expected a whole number >= 2, got 1"),
        ("spread=0.0", "spread: expected a number > 0, got 0.0"),
    ],
)
def test_wrong_settings(tiny, wrong, message):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        tiny("packing", *TINY, wrong)


def test_the_judge_where_the_corrected_statements_hold(verdicts, data):
    refuted = dict.fromkeys(("printed", "constant", "functions_printed"), "fails")
    expected = {claim.name: "holds" for claim in question.claims}
    assert verdicts(question, data) == expected | refuted


def test_the_judge_of_pairs_that_are_otherwise(verdicts, data):
    def where(change, of=data):
        found = [pair | (change(pair) or {}) for pair in of["pairs"]]
        return of | {"pairs": found}, verdicts(question, of | {"pairs": found})

    assert where(lambda p: {"not_product": int(p is data["pairs"][0])})[1]["product"] == "fails"
    # Every pair as the relation is printed: also those of the same task disagree.
    as_printed = lambda p: {"disagree": round(N * 0.1 * p["rotations"]), "orbit": p["rotations"]}
    found = where(as_printed)[1]
    assert found["printed"] == found["constant"] == "holds" and found["root"] == "fails"
    for at in (15, 16):  # one with another task that never disagrees, of either half
        never = lambda p, at=at: {"disagree": 0} if p is data["pairs"][at] else {}
        assert where(never)[1]["corrected"] == "fails"
    assert where(lambda p: {"negative": 0})[1]["hint"] == "fails"
    assert where(lambda p: {"negative": N - p["disagree"]})[1]["related"] == "fails"
    far = max(pair["rotations"] for pair in data["pairs"])
    nearby = lambda p: {"rotations": far - p["rotations"]} if p["kind"] == "nearby" else {}
    other, found = where(nearby)
    assert found["more_different"] == "fails" and found["more_different_orbit"] == "holds"
    found = where(lambda p: {"orbit": far - p["orbit"]}, other)[1]
    assert found["more_different_orbit"] == "fails"


@pytest.mark.parametrize(
    ("at", "exponent", "refuted"),
    [(("rotations", 4), 4, "rotations"), (("orbit", 4), 6, "functions")],
)
def test_the_judge_of_balls_of_another_dimension(verdicts, data, at, exponent, refuted):
    found = verdicts(question, data | places(EXPONENTS | {at: exponent}))
    assert found[refuted] == "fails"


def test_the_judge_where_there_are_as_many_functions_as_rotations(verdicts, data):
    three = dict.fromkeys(((space, 3) for space in SPACES), 3)
    assert verdicts(question, data | places(three))["functions_printed"] == "holds"


def test_the_judge_of_packings_that_are_otherwise(verdicts, data):
    [orbit] = [ball for ball in data["balls"] if (ball["space"], ball["d"], ball["one_of"]) == (
        "orbit", 3, 16)]  # fmt: skip
    for key, value in (("within", 1), ("half", 10**7)):
        kept = [ball for ball in data["balls"] if ball is not orbit]
        found = verdicts(question, data | {"balls": [*kept, orbit | {key: value}]})
        assert found["volume"] == "fails"
    other = copy.deepcopy(data)
    for packing in other["packings"]:
        packing["full"] = False
    assert verdicts(question, other)["volume"] == "inconclusive"


@pytest.mark.parametrize("kind", ["independent", "nearby", "one plane", "same task"])
def test_pairs_are_orthogonal(kind):
    one, other = rotated_pairs(kind, np.random.default_rng(0), 5, 5)
    for r in (*one, *other):
        np.testing.assert_allclose(r @ r.T, np.eye(5), atol=1e-9)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_labels_are_the_definition(rng):
    r, x = rotations.random_orthogonal(rng, 3, 5), rng.standard_normal((40, 5))
    got, a = labels(r, x), orbit(r)
    q = np.diag([1.0, 1, -1, -1, -1])
    for i, j in itertools.product(range(3), range(40)):
        value = x[j] @ r[i].T @ q @ r[i] @ x[j]
        assert got[i, j] == (value > 0)
        np.testing.assert_allclose(x[j] @ a[i] @ x[j], value, atol=1e-12)


def test_points_of_the_orbit(rng):
    a = orbit(rotations.random_orthogonal(rng, 10, 5))
    np.testing.assert_allclose(a, np.swapaxes(a, 1, 2), atol=1e-12)
    np.testing.assert_allclose(a @ a, np.broadcast_to(np.eye(5), a.shape), atol=1e-12)
    np.testing.assert_allclose(np.trace(a, axis1=1, axis2=2), -1, atol=1e-12)


def test_rotations_that_leave_the_signature_give_the_same_function(rng):
    r = rotations.block_diagonal(rng, 4, 6, 3)
    x = rng.standard_normal((500, 6))
    one = labels(np.eye(6)[None], x)
    assert (labels(r, x) == one).all()


def disagreement_2d(a, b):
    """`P[sign(x^T A x) != sign(x^T B x)]` in two dimensions, exactly, for matrices `(n, 2, 2)`.

    There `A = [[cos t, sin t], [sin t, -cos t]]` and `x^T A x = |x|^2 cos(2 u - t)` for `x` at the
    angle `u`: two such signs differ on the share `|t - t'| / pi` of the circle. With
    `||A - B||_F = 2 sqrt(2) sin(|t - t'| / 2)`, the ratio of the two grows from `1 / (pi sqrt(2))`
    for close tasks to `1 / (2 sqrt(2))` for opposite ones.
    """
    angle = np.arctan2(a[:, 0, 1], a[:, 0, 0]) - np.arctan2(b[:, 0, 1], b[:, 0, 0])
    return np.abs(np.arctan2(np.sin(angle), np.cos(angle))) / np.pi


def test_the_closed_form_of_two_dimensions(rng):
    """Against the share of a fine grid of directions, both determinants."""
    u = (np.arange(200_000) + 0.5) * 2 * np.pi / 200_000
    x = np.stack([np.cos(u), np.sin(u)], 1)
    r, s = (rotations.random_orthogonal(rng, 12, 2) for _ in range(2))
    share = (labels(r, x) != labels(s, x)).mean(1)
    a, b = orbit(r), orbit(s)
    exact = disagreement_2d(a, b)
    np.testing.assert_allclose(share, exact, atol=1e-4)
    np.testing.assert_allclose(
        rotations.frobenius(a, b), 2 * np.sqrt(2) * np.sin(np.pi * exact / 2), atol=1e-12
    )
    np.testing.assert_allclose(disagreement_2d(a, -a), 1, atol=1e-12)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_the_greedy_packing_is_that_of_a_plain_loop(rng, size):
    points = rng.standard_normal((200, 3))
    blocks = [points[i : i + size] for i in range(0, 200, size)]

    def packing(distance, **options):
        endless = itertools.cycle(blocks)
        return greedy_packing(lambda n: next(endless), distance, **options)

    kept = []
    for point in points:
        if all(np.linalg.norm(point - other) >= 0.8 for other in kept):
            kept.append(point)
    got, full = packing(0.8, patience=250 / len(kept))
    assert full
    np.testing.assert_array_equal(got, kept)
    few, full = packing(0.8, largest=5)
    assert not full
    np.testing.assert_array_equal(few, kept[:5])


def test_a_full_packing_of_a_circle_leaves_no_place(rng):
    """No two points closer than the distance, and the gaps too short for another one."""

    def draw(n):
        u = rng.uniform(0, 2 * np.pi, n)
        return np.stack([np.cos(u), np.sin(u)], 1)

    angle = 0.1
    got, full = greedy_packing(draw, 2 * np.sin(angle / 2), patience=2000)
    u = np.sort(np.arctan2(got[:, 1], got[:, 0]))
    gaps = np.diff(u, append=u[0] + 2 * np.pi)
    assert full and gaps.min() >= angle and gaps.max() < 2.1 * angle
    # Random sequential adsorption on a line covers 0.7476 of it (Renyi, 1958).
    assert abs(len(u) * angle / (2 * np.pi) - 0.7476) < 0.06


def test_the_volume_of_balls_on_the_orthogonal_group(rng):
    """On O(3): `(t - sin t) / (2 pi)` for the angle t of `||I - R||_F = 2 sqrt(2) sin(t / 2)`."""
    points = lambda n: rotations.random_orthogonal(rng, n, 3).reshape(n, 9)
    distances = np.array([0.8, 1.5, 1.9])
    t = 2 * np.arcsin(distances / np.sqrt(8))
    expected = (t - np.sin(t)) / (2 * np.pi)
    found = distances_from_one(points, 20_000)
    got = np.searchsorted(found, distances) / 20_000
    np.testing.assert_allclose(got, expected, atol=4 * np.sqrt(expected.max() / 20_000))


@pytest.mark.parametrize(("d", "radius"), [(2, 0.3), (3, 0.3), (3, 1.5)])
def test_points_in_a_ball_have_haars_measure(rng, d, radius):
    """By the angle t of the rotation: uniform in the plane, density 1 - cos t in space."""
    eye = np.eye(d)
    distance = lambda r: np.sqrt(np.square(r - eye).sum((1, 2)))
    got = distances_in_ball(distance, d, radius, n=1500, steps=150, rng=rng)
    t = lambda far: 2 * np.arcsin(far / np.sqrt(8))  # ||I - R||_F = 2 sqrt(2) sin(t / 2) in both
    volume = (lambda t: t) if d == 2 else (lambda t: t - np.sin(t))
    share = volume(t(got)) / volume(t(radius))
    assert kstest(share, "uniform").pvalue > 0.01
