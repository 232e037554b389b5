"""Do answers survive a shift? Anti-aliased pooling and polyphase sampling (A 4.3 to 4.7)."""

import functools
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.data import Dataset
from cnnlab.lab import Cells, Count, Counts, Limit, Plan, Rates, Records, Study, Verdict

POOLS = ("max", "stride", "blur", "polyphase")
# Points of accuracy, and of answers: the intervals are to be as narrow.
POINT = 1.0

question = lab.Question(
    "shifts",
    "Do a network's answers survive a shift of its input?",
    note="Shifts are of a torus and convolutions pad circularly, so that nothing comes in at a "
    "border: what is left is the sampling. Maxima of a window, a stride: each keeps every "
    "second position, and a shift by one asks for the others. blur: maxima, a filter 1 2 1, then "
    "every second position (arXiv:1904.11486). polyphase: maxima, then of the four grids the one "
    "with the largest norm (arXiv:2011.14214). All networks end in a mean over positions.",
)


@question.measure(
    groups={"data": "fashion_mnist"},
    full={"limit_eval": None, "most_seeds": 10, "rates": [3e-3, 1e-2]},
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    plan: Annotated[Plan, "of the backbone"] = (16, "M", 32, "M", 64),
    shifts: Annotated[Counts, "pixels: down, and half as many to the right"] = (1, 2, 3, 7),
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 3,
    most_seeds: Annotated[Count, "but no more than these"] = 3,
    limit_train: Annotated[Limit, "training images"] = 8000,
    limit_eval: Annotated[Limit, "test images"] = 1000,
    steps: Annotated[Count, "batches"] = 500,
    batch_size: Count = 64,
    rates: Annotated[Rates, "Adam's: each network has the one that is best for it"] = (1e-2,),
) -> dict[str, Any]:
    """The answers of each network to moved test images, before and after training."""

    @functools.cache
    def study(pool: str) -> Study:
        settings = {
            "conv.padding_mode": "circular", "backbone.plan": plan, "backbone.pool": pool,
            "optimizer": "adam", "schedule": "onecycle", "steps": steps, "batch_size": batch_size,
            "limit_train": limit_train, "limit_eval": limit_eval,
        }  # fmt: skip
        tuned = lambda: lab.tuned(settings, rates, seed=seed + 10_000, data=data)
        return Study({**settings, "optimizer.lr": cells.get(f"rate: {pool}", tuned)}, data=data)

    run = lambda seed, pool: list(answers(study(pool), seed, shifts))
    narrow = lambda runs: all(
        lead(runs, pool, "max").narrow(POINT) and more(runs, pool, "max").narrow(POINT)
        for pool in POOLS[1:]
    )
    several = {"first": seed, "least": seeds, "most": most_seeds}
    baseline = lambda: lab.logistic_regression(study("max").data)
    return {
        "networks": cells.seeds("answers", run, narrow, **several, pool=POOLS),
        "baseline": 100 * cells.get("logistic regression", baseline),
        "parameters": {pool: study(pool).parameters for pool in POOLS},
    }


def answers(study: Study, seed: int, shifts: Counts) -> Iterator[dict[str, Any]]:
    """Of how many test images a shift changes the class, before and after training; and which are
    right, unmoved."""
    for when, network in (("before", study.initial(seed)), ("after", study.train(seed))):
        plain = study.evaluate(network)
        right = lab.pack(plain.predicted == plain.label)
        none = {"when": when, "shift": 0, "changed": 0, "images": len(plain.label)}
        yield {**none, "right": right, "accuracy": 100 * plain.accuracy}
        for n in shifts:
            moved = lambda x, n=n: np.roll(x, (n, n // 2), (1, 2))
            found = study.evaluate(network, moved, f"moved by {n}").predicted
            changed = int((found != plain.predicted).sum())
            yield {"when": when, "shift": n, "changed": changed, "images": len(found)}


def unmoved(networks: Records, pool: str) -> Records:
    """What each trained network does on the test images as they are."""
    return networks.where(when="after", shift=0, pool=pool)


def lead(networks: Records, pool: str, over: str) -> lab.Estimate:
    """Points of accuracy by which one kind of network is ahead."""
    return lab.lead(*(unmoved(networks, one)["right"] for one in (pool, over)))


def same(networks: Records, pool: str, shift: int | None = None) -> list[float]:
    """Of each trained network the share of answers, in percent, that a shift (or, in the mean, all
    of them) leaves as they were."""
    moved = networks.where(lambda r: r["shift"] if shift is None else r["shift"] == shift)
    runs = moved.where(when="after", pool=pool).by("seed").values()
    return [100 * (1 - sum(run["changed"]) / sum(run["images"])) for run in runs]


def more(networks: Records, pool: str, than: str) -> lab.Estimate:
    """Points by which one network keeps more of its answers, networks paired by seed."""
    return lab.paired(same(networks, pool), same(networks, than))


@question.learnt
def learnt(networks: Records, baseline: float) -> dict[str, Verdict]:
    found = {pool: lab.estimate(unmoved(networks, pool)["accuracy"]) for pool in POOLS}
    return lab.beats(found, baseline)


@question.answer
def answer(networks: Records) -> str:
    kept = lambda pool: lab.estimate(same(networks, pool)).mean
    points = lambda pool: lead(networks, pool, "max").mean
    return (
        f"A shift leaves {kept('max'):.1f} % of the answers as they were with max-pooling, "
        f"{kept('blur'):.1f} % where it blurs before it samples, {kept('polyphase'):.4g} % where "
        f"it samples adaptively, for {points('blur'):+.1f} and {points('polyphase'):+.1f} points "
        "of accuracy."
    )


@question.claim(
    "A 4.5",
    "a network with max-pooling of whose answers a pixel changes more",
    arms=("max",),
    instead="maxima",
)
def pixel(networks: Records) -> Verdict:
    """Max-pooling is a form of local translation invariance (read of a network: a shift by a pixel
    leaves 99 of 100 answers as they were)."""
    return lab.at_least(lab.estimate(same(networks, "max", 1)), 99.0, "answers kept, %")


@question.claim(
    "A 4.5, B 10.1.4", "strides that keep as many of their answers", arms=("max", "stride")
)
def maxima(networks: Records) -> Verdict:
    """Max-pooling makes answers more robust to small shifts than a stride does."""
    return lab.at_least(
        more(networks, "max", "stride"), 0.0, "max - stride, points of answers kept"
    )


@question.claim(
    "A 4.3, arXiv:1904.11486", "blurred maxima that keep no more of them", arms=("max", "blur")
)
def blurred(networks: Records) -> Verdict:
    """Anti-aliased pooling is closer to invariance: of its answers a shift changes fewer than with
    max-pooling."""
    return lab.at_least(more(networks, "blur", "max"), 0.0, "blur - max, points of answers kept")


@question.claim("A 4.3, arXiv:2011.14214", "an answer that a shift changes")
def polyphase(networks: Records) -> Verdict:
    """Reduction over positions gives invariance, where sampling is adaptive, too: no shift changes
    an answer of such a network, trained or untrained."""
    moved = networks.where(lambda r: r["shift"], pool="polyphase")
    return lab.exact(moved["changed"], moved["images"], "answers to moved images")


def price(networks: Records, pool: str) -> Verdict:
    return lab.at_least(lead(networks, pool, "max"), -POINT, f"{pool} - max in points")


@question.claim(
    "arXiv:1904.11486", "blurred maxima more than a point less accurate", arms=("max", "blur")
)
def price_of_blur(networks: Records) -> Verdict:
    """Anti-aliasing does not cost accuracy: within a point of max-pooling, or better."""
    return price(networks, "blur")


@question.claim(
    "arXiv:2011.14214", "such a network more than a point less accurate", arms=("max", "polyphase")
)
def price_of_polyphase(networks: Records) -> Verdict:
    """Adaptive polyphase sampling does not cost accuracy: within a point of max-pooling, or
    better."""
    return price(networks, "polyphase")


@question.table
def kept(networks: Records, parameters: dict[str, int]) -> lab.Rows:
    """Answers that a shift by so many pixels leaves as they were, in %"""
    share = lambda rows: 100 * (1 - sum(rows["changed"]) / sum(rows["images"]))
    for (pool, when), runs in networks.by("pool", "when").items():
        accuracy = lab.estimate(runs.where(shift=0)["accuracy"])
        yield {
            "pooling": pool, "training": when,
            **{str(n): f"{share(rows):.4g}" for n, rows in runs.by("shift").items() if n},
            "accuracy, %": f"{accuracy:.1f}", "n": accuracy.n,
            "parameters": f"{parameters[pool]:,}",
        }  # fmt: skip


@question.figure(9, 3.8)
def consistency(figure: Figure, networks: Records) -> None:
    """Answers that are the same after a shift: trained networks at each shift, and what they keep
    in the mean against their accuracy."""
    left, right = figure.subplots(1, 2, sharey=True)
    for pool, runs in networks.by("pool").items():
        kept = {0: [100.0], **{n: same(networks, pool, n) for n in runs.by("shift") if n}}
        line = lab.curve(left, kept, spread="range", ms=4)
        accuracy = unmoved(networks, pool)["accuracy"]
        right.plot(accuracy, same(networks, pool), "o", color=line.get_color(), label=pool)
    left.set(xlabel="shift down, and half as far to the right (pixels)")
    left.set(ylabel="answers that stay the same, %", title="mean, lowest and highest of the seeds")
    right.set(xlabel="test accuracy, %", title="mean over the shifts; a dot a network")
    right.legend(title="pooling", loc="lower right")


main = lab.command(question)

if __name__ == "__main__":
    main()
