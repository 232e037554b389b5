"""Estimates against textbook values, and the rules on made-up numbers."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from cnnlab.lab import pack
from cnnlab.lab.estimates import Estimate, estimate, lead, paired, percent, proportion, slope
from cnnlab.lab.records import unpack
from cnnlab.lab.verdict import (
    Quantity,
    Verdict,
    all_of,
    any_of,
    at_least,
    at_most,
    between,
    exact,
    none_of,
    reproduced,
)


def test_students_interval():
    """Mean 5, deviation sqrt(10/4), t(0.975, 4) = 2.776 445."""
    found = estimate([3, 4, 5, 6, 7])
    assert (found.mean, found.n) == (5, 5)
    assert found.deviation == pytest.approx(math.sqrt(2.5))
    half = 2.776445105 * math.sqrt(2.5 / 5)
    assert (found.low, found.high) == pytest.approx((5 - half, 5 + half))
    assert estimate([2.0]) == Estimate(2.0, 0.0, 1, -math.inf, math.inf)
    assert estimate([2.0]).json() == {
        "mean": 2.0,
        "deviation": 0.0,
        "n": 1,
        "low": None,
        "high": None,
        "freedom": None,
    }
    nothing = at_least(estimate([]), 0.0, "lead")
    text = "lead: nan (n = 0), expected at least 0"
    assert (nothing.verdict, nothing.evidence) == ("inconclusive", text)
    assert nothing.quantity.json()["mean"] is None


def test_an_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [estimate(rng.normal(1.0, 2.0, 6).tolist()) for _ in range(2000)]
    assert 0.935 < np.mean([e.low <= 1.0 <= e.high for e in intervals]) < 0.965


def test_more_seeds_do_not_make_up_for_few_test_images():
    """Six seeds, ahead in 50 of 1,000 images and behind in 40: the images' part of the variance of
    the mean does not grow less, whatever the seeds."""
    rng, images = np.random.default_rng(3), np.repeat([1, -1, 0], [50, 40, 910])
    d = np.stack([np.where(rng.random(1000) < 0.1, 0, images) for _ in range(6)])
    found = lead([pack(row == 1) for row in d], [pack(row == -1) for row in d])
    assert found.low < 0 < found.mean and found.needed(0.0) is None
    varies = 100**2 * d.mean(0).var(ddof=1) / 1000
    for errors in (1.97, 2.0, 2.1, 3.0):
        distance = errors * math.sqrt(varies)
        narrow = (n for n in range(2, 100) if _half(found.deviation**2 / n, varies, n) < distance)
        assert found.needed(found.mean - distance) == next(narrow), errors


def _half(seeds, images, n):
    freedom = (seeds + images) ** 2 / (seeds**2 / (n - 1))
    return scipy.stats.t.ppf(0.975, freedom) * math.sqrt(seeds + images)


def test_a_prediction_covers_another_run_as_often_as_it_says():
    """t(0.975, 4) sqrt(2.5) sqrt(1 + 1/5) on either side of the mean."""
    half, found = 2.776445105 * math.sqrt(2.5 * 1.2), estimate([3, 4, 5, 6, 7]).prediction()
    assert (found.low, found.high) == pytest.approx((5 - half, 5 + half))
    assert found.json()["deviation"] is None and found.needed(1.0) is None
    assert estimate([2.0]).prediction().high == math.inf
    rng = np.random.default_rng(0)
    made = (estimate(rng.normal(1.0, 2.0, 6).tolist()).prediction() for _ in range(4000))
    inside = [ours.low <= rng.normal(1.0, 2.0) <= ours.high for ours in made]
    assert 0.94 < np.mean(inside) < 0.96


def test_published_runs_are_judged_by_the_spread_of_single_ones():
    ours = estimate([60.0, 61.0, 62.0, 63.0, 64.0])  # another lies from 57.2 to 66.8
    inside = reproduced(66.0, ours, "cnn", margin=0.5)
    assert inside.verdict == "holds"  # though it is far from the interval of the mean
    assert inside.evidence == "cnn, one run: 62.0 [57.2, 66.8] (n = 5), published: 66"
    outside = reproduced(67.4, ours, "cnn", margin=0.5)
    assert outside.verdict == all_of(outside).verdict == "fails"
    assert all_of(outside, inside).verdict == "inconclusive"  # one of two may be further off
    assert all_of(reproduced(80.0, ours, "cnn", margin=0.5), inside).verdict == "fails"
    same = estimate([31.3] * 5)
    found = [reproduced(v, same, "linear", margin=0.5).verdict for v in (31.7, 32.0)]
    assert found == ["holds", "fails"]
    few = reproduced(66.0, estimate([60.0, 61.0, 62.0, 63.0]), "cnn", margin=0.5)
    assert few.verdict == "inconclusive" and "n = 5 would tell" in few.evidence
    assert few.quantity.needed() is None and few.quantity.telling() == ""


def test_pairs_forget_what_they_share():
    found = paired([10.1, 20.2, 30.1], [10.0, 20.0, 30.0])
    assert found.mean == pytest.approx(0.4 / 3)
    assert found.high - found.low < 0.5
    with pytest.raises(ValueError):
        paired([1, 2], [1])


def test_wilsons_interval():
    """8 of 10: 0.4902 to 0.9433."""
    found = proportion(8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert proportion(0, 50).low == 0.0 < proportion(0, 50).high < 0.08


def test_slope():
    x = [0, 1, 2, 3, 4]
    found = slope(x, [1 + 2 * v for v in x])
    assert found.mean == pytest.approx(2) and found.high - found.low < 1e-9
    noisy = slope(x, [0, 1, 0, 1, 0])
    assert noisy.low < 0 < noisy.high
    assert slope([0, 1], [0, 3]) == Estimate(3.0, 0.0, 2, -math.inf, math.inf)
    for same in ([], [2], [2, 2, 2]):
        nothing = Estimate(0.0, 0.0, len(same), -math.inf, math.inf)
        assert slope(same, range(len(same))) == nothing


SURE, UNSURE = Estimate(1.0, 0.1, 9, 0.9, 1.1), Estimate(1.0, 1.0, 3, 0.0, 2.0)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (at_most(SURE, 1.2, "x"), "holds"),
        (at_most(SURE, 0.8, "x"), "fails"),
        (at_most(UNSURE, 1.2, "x"), "inconclusive"),
        (at_most(1.0, 1.0, "x"), "holds"),
        (at_most(1.1, 1.0, "x"), "fails"),
        (at_most(math.nan, 1.0, "x"), "fails"),
        (at_least(SURE, 0.8, "x"), "holds"),
        (at_least(SURE, 1.2, "x"), "fails"),
        (at_least(UNSURE, 0.8, "x"), "inconclusive"),
        (at_least(estimate([5.0]), 0.0, "x"), "inconclusive"),
        (between(SURE, 0.5, 1.5, "x"), "holds"),
        (between(SURE, 1.5, 2.5, "x"), "fails"),
        (between(SURE, 1.0, 2.5, "x"), "inconclusive"),
        (exact(0, 7, "numbers"), "holds"),
        (exact(1, 7, "numbers"), "fails"),
        (exact(0, 0, "numbers"), "inconclusive"),
    ],
)
def test_the_rules(verdict, expected):
    assert verdict.verdict == expected


def test_evidence_has_the_numbers():
    assert f"{SURE:.2f}" == "1.00 ± 0.10" and f"{SURE}" == "1.00 [0.90, 1.10] (n = 9)"
    assert exact(2, 3, "maps", "are flat").evidence == "2 of 3 maps are flat"
    assert exact(0, 0, "maps").evidence == "0 maps compared"
    text = "error: 1.00 [0.90, 1.10] (n = 9), expected at most 1.2"
    assert at_most(SURE, 1.2, "error").evidence == text
    assert at_least(0.5, 1, "error").evidence == "error: 0.5, expected at least 1"
    assert at_most(math.nan, 1, "x").evidence == "x: not a number, expected at most 1"
    assert at_most(SURE, 1.2, "error").quantities[0].value == SURE
    assert at_most(UNSURE, 1.2, "x").evidence.endswith("at most 1.2; n = 99 would tell")
    assert between(UNSURE, 0, 1, "x").evidence.endswith("expected 0 to 1; no n would tell")
    assert exact(3, 1200, "shapes").evidence == "3 of 1,200 shapes differ"
    assert exact([1, 2], [600, 600], "shapes").evidence == "3 of 1,200 shapes differ"
    assert none_of([n > 2 for n in range(4)], "maps", "are flat") == exact(1, 4, "maps", "are flat")
    assert none_of([], "maps") == exact(0, 0, "maps")


@pytest.mark.parametrize(
    ("mean", "low", "high", "limits", "text"),
    [
        (0.1613, -0.9882, 1.311, (), "0.2 [-1.0, 1.3]"),
        (53.4, 49.96, 56.84, (1,), "53.4 [50.0, 56.8]"),
        (0.8556, 0.007318, 1.704, (0,), "0.86 [0.01, 1.70]"),
        (0.85, 0.0007, 1.7, (0,), "0.850 [0.001, 1.700]"),  # 0.00 would be the limit
        (9.873, 9.303, 10.44, (10.4,), "9.87 [9.30, 10.44]"),
        (-0.001, -0.3, 0.298, (), "0.00 [-0.30, 0.30]"),
        (1234567.0, 1234000.0, 1235134.0, (), "1,234,567 [1,234,000, 1,235,134]"),
        (100.0, 100.0, 100.0, (95,), "100 [100, 100]"),
        (2e-7, 1e-7, 3e-7, (), "2e-07 [1e-07, 3e-07]"),
    ],
)
def test_an_interval_has_the_digits_that_it_tells(mean, low, high, limits, text):
    assert Estimate(mean, 1.0, 5, low, high).text(*limits) == f"{text} (n = 5)"


def test_a_quantity_is_read_as_it_was_written():
    for value in (SURE, estimate([2.0]), estimate([]), replace(SURE, deviation=math.inf)):
        quantity = Quantity("x", value, most=1.2)
        read = Quantity.of(json.loads(json.dumps(quantity.json())))
        assert repr(read) == repr(quantity)


def test_one_of_many_parts_is_refuted_by_a_corrected_interval():
    """Mean 1 of [0.9, 1.1]: 0.88 is out of it, and in that of one of 40."""
    refuted, true = at_most(SURE, 0.88, "a"), at_most(SURE, 2, "b")
    assert refuted.verdict == "fails" and all_of(refuted, true).verdict == "fails"
    assert all_of(refuted, [true] * 39).verdict == "inconclusive"
    assert all_of(all_of(refuted), all_of([true] * 39)).verdict == "inconclusive"
    # A count, or a number, is as it is, among however many.
    assert all_of(exact(1, 2, "maps"), [true] * 39).verdict == "fails"
    assert all_of(at_most(1.0, 0.9, "c"), [true] * 39).verdict == "fails"


def test_claims_of_many_true_parts_seldom_fail():
    """20 parts on the limit: one of them is beyond it in 40 % of all cases, uncorrected."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(200, 20, 5)).tolist()
    claims = [[at_most(estimate(values), 0.0, "x") for values in parts] for parts in samples]
    fails = np.mean([all_of(parts).verdict == "fails" for parts in claims])
    alone = np.mean([any(part.verdict == "fails" for part in parts) for parts in claims])
    assert fails < 0.05 < 0.3 < alone


def test_that_something_can_be():
    above = lambda mean, half: at_least(Estimate(mean, 1.0, 9, mean - half, mean + half), 0.0, "x")
    sure, open_, wrong = above(5.0, 1.0), above(1.0, 2.0), above(-5.0, 1.0)
    assert any_of([wrong, open_, sure]).verdict == "holds"
    assert any_of([wrong, open_]).verdict == any_of([]).verdict == "inconclusive"
    assert any_of([wrong, wrong]).verdict == "fails"
    # One of nine that is just above is likely to be so by chance.
    assert any_of([above(1.05, 1.0)]).verdict == "holds"
    assert any_of([above(1.05, 1.0), *[wrong] * 8]).verdict == "inconclusive"
    assert any_of([wrong, sure]).evidence == f"{wrong.evidence}; {sure.evidence}"


def test_a_lead_beside_another():
    rng = np.random.default_rng(3)
    arms = rng.random((4, 5, 200)) < np.array([0.9, 0.6, 0.8, 0.7])[:, None, None]
    a, b, c, e = ([pack(row) for row in arm] for arm in arms)
    points = 100.0 * arms.mean(2)
    found, alone = lead(a, b, than=(c, e)), lead(a, b)
    assert found.mean == pytest.approx((points[0] - points[1] - points[2] + points[3]).mean())
    by_seed = points[0] - points[1] - points[2] + points[3]
    assert found.deviation == pytest.approx(by_seed.std(ddof=1))
    # Independent of each other, the variances of the four for other images add up.
    wider = (found.high - found.low) / (alone.high - alone.low)
    assert 1.2 < wider < 1.7
    assert lead(a, b, than=(a, b)).mean == 0.0


def test_how_many_repetitions_would_tell():
    rng = np.random.default_rng(1)
    few = estimate(rng.normal(1.0, 2.0, 8).tolist())
    n = few.needed(0.0)
    half = lambda n: student(n - 1) * few.deviation / math.sqrt(n)
    assert half(n) <= few.mean < half(n - 1)
    # Of one large mean, where each guess of the quantile undoes the one before.
    steep = Estimate(0.085, 0.0458, 3, -0.029, 0.199, 2)
    assert steep.needed(0.0) == 4
    assert few.needed(few.mean) is None and few.needed(few.mean + 1e-9) is None
    says = lambda limit: at_least(few, limit, "x").quantity.telling()
    assert says(few.mean) == "no n would tell" and says(-9.0) == says(9.0) == ""
    assert says(1.0) == f"n = {few.needed(1.0):,} would tell"
    assert few.narrow(half(8) + 1e-9) and not few.narrow(half(8) - 1e-9)


def student(freedom):
    return float(scipy.stats.t.ppf(0.975, freedom))


def test_a_lead_is_for_other_images_too():
    """Seeds that all agree say nothing of other images: the interval is that of m images."""
    rng = np.random.default_rng(2)
    a, b = rng.random(400) < 0.9, rng.random(400) < 0.8
    found = lead([pack(a)] * 30, [pack(b)] * 30)
    d = 100.0 * (a.astype(float) - b)
    half = student(399) * d.std(ddof=1) / 20
    assert found.mean == pytest.approx(d.mean()) and found.n == 30
    assert found.high - found.mean == pytest.approx(half)


def test_the_interval_of_a_lead_covers_it_as_often_as_it_says():
    """Both the seed and the image decide: 6 seeds, 60 images, 200 times."""
    rng, covered = np.random.default_rng(3), []
    for _ in range(200):
        image, seed = rng.normal(size=60), rng.normal(0.0, 0.3, size=(2, 6, 1))
        right = [rng.random((6, 60)) < 1 / (1 + np.exp(-(image + s))) for s in seed]
        found = lead(*([pack(row) for row in arm] for arm in right))
        covered.append(found.low <= 0 <= found.high)
    assert np.mean(covered) > 0.94


def test_flags_in_a_record():
    for flags in ([], [False], [True, False, False], [False, False, True]):
        assert unpack(pack(np.array(flags, bool))).tolist() == flags


def test_shares_in_a_table():
    found = estimate(percent([0.5, 0.7])).columns(".1f")
    assert found == {"mean": "60.0", "deviation": "14.1", "n": 2}


def test_a_claim_of_parts():
    holds, fails, open_ = (Verdict(v, v) for v in ("holds", "fails", "inconclusive"))
    assert all_of(holds, holds).verdict == "holds"
    assert all_of(holds, open_).verdict == "inconclusive"
    assert all_of(open_, fails, holds).verdict == "fails"
    assert all_of().verdict == "inconclusive"
    assert all_of(holds, fails).evidence == "holds; fails"
    assert all_of((v for v in (holds, open_)), fails) == all_of(holds, open_, fails)
    assert all_of([], none="0 networks").evidence == "0 networks"
    assert all_of(at_most(SURE, 2, "a"), at_least(UNSURE, 2, "b")).quantities == [
        at_most(SURE, 2, "a").quantity, at_least(UNSURE, 2, "b").quantity
    ]  # fmt: skip
    assert exact(0, 1, "maps").quantities == at_most(1.0, 2, "a").quantities == []
