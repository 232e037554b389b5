"""Global pooling or flattening in front of the classifier (A 4.4, 4.8, 4.9)."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Any

from experiments.heads.networks import FLATTEN, POOLS, Sides, pooled_error, tests
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.analysis import count_parameters
from cnnlab.config import ConfigError
from cnnlab.data import Dataset
from cnnlab.lab import Cells, Count, Counts, Limit, Plan, Rates, Records, Study, Verdict

ALL = (*POOLS, FLATTEN)
# Points of accuracy: "as accurate" is within one of them, and the interval is to be as narrow.
POINT = 1.0

question = lab.Question(
    "heads",
    "Global pooling or flattening before the classifier?",
    note="The pooling is invariant, the network is not: zeros come in at the borders, and its "
    "2x2 poolings before are only equivariant to shifts by their strides. And a model that runs at "
    "any resolution is not as accurate at any: objects of another size meet the same kernels, and "
    "a sum (A 4.4) grows with the map.",
)


@question.check
def check(pools: Sequence[str]) -> None:
    """All poolings are compared."""
    if missing := set(ALL) - set(pools):
        raise ConfigError(f"pools: expected all of them, got none of {', '.join(missing)}")


@question.measure(
    groups={"data": "fashion_mnist"},
    full={
        "plan": [16, "M", 32, "M", 64, 64], "hidden": [128], "rates": [3e-3, 1e-2],
        "limit_train": None, "limit_eval": None, "steps": 1500, "batch_size": 128, "maps": 1000,
        "seeds": 9,
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    pools: Annotated[Sequence[str], "some of avg, max, sum, flatten", "of the heads"] = ALL,
    plan: Annotated[Plan, "of the backbone"] = (8, "M", 16, "M", 32),
    hidden: Annotated[Sequence[int], "list of whole numbers >= 1", "of the head's MLP"] = (64,),
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 3,
    most_seeds: Annotated[Count, "but no more than these"] = 6,
    limit_train: Annotated[Limit, "training images"] = 8000,
    limit_eval: Annotated[Limit, "test images"] = 1000,
    steps: Annotated[Count, "batches"] = 1000,
    batch_size: Count = 64,
    rates: Annotated[Rates, "Adam's: each head has the one that is best for it"] = (1e-2,),
    shifts: Annotated[Counts, "pixels by which test images are moved"] = (1, 2, 4, 6),
    sizes: Annotated[Sides, "to which test images are resized"] = (20, 24, 28, 32, 40, 56),
    maps: Annotated[Count, "random maps of permuted positions, for each pooling"] = 30,
) -> dict[str, Any]:
    """Train each head's networks and test them on moved and on resized images."""
    side, *others = data.input_shape[:-1]
    if others != [side]:
        raise ConfigError(f"data: expected square images, got inputs of shape {data.input_shape}")

    @functools.cache
    def study(pool: str) -> Study:
        settings = {
            "backbone.plan": plan, "head": "mlp", "head.hidden": hidden, "head.pool": pool,
            "optimizer": "adam", "schedule": "onecycle", "steps": steps, "batch_size": batch_size,
            "limit_train": limit_train, "limit_eval": limit_eval,
        }  # fmt: skip
        tuned = lambda: lab.tuned(settings, rates, seed=seed + 10_000, data=data)
        return Study({**settings, "optimizer.lr": cells.get(f"rate: {pool}", tuned)}, data=data)

    def parameters(pool: str) -> dict[str, int]:
        model = study(pool).experiment.model
        inputs = [width for width in plan if width != "M"][-1]
        if pool == FLATTEN:  # at each of the positions that halvings, rounded up, leave
            inputs *= math.ceil(side / 2 ** plan.count("M")) ** 2
        layers = itertools.pairwise([inputs, *hidden, data.num_classes])
        count = {part: count_parameters(getattr(model, part)) for part in ("backbone", "head")}
        return {**count, "formula": sum(a * b + b for a, b in layers)}

    run = lambda seed, pool: list(tests(study(pool), seed, shifts, sizes))
    narrow = lambda tests: lead(tests).narrow(POINT)
    several = {"first": seed, "least": seeds, "most": most_seeds}
    baseline = lambda: lab.logistic_regression(study(FLATTEN).data)
    pooled = lambda pool: max(pooled_error(pool, (seed, i)) for i in range(maps))
    return {
        "native": side,
        "tests": cells.seeds("tests", run, narrow, **several, pool=pools),
        "baseline": 100 * cells.get("logistic regression", baseline),
        "parameters": cells.records("parameters", parameters, pool=pools),
        "pooled": [{"pool": pool, "maps": maps, "error": pooled(pool)} for pool in POOLS],
    }


def accuracies(tests: Records, pool: str, images: str = "test") -> list[list[float]]:
    """As shares, of each network where it takes the images."""
    runs = tests.where(pool=pool, images=images).by("seed", of="accuracy").values()
    return [[a for a in run if a is not None] for run in runs]


def lost(tests: Records, pool: str, images: str) -> list[list[float]]:
    """Points of accuracy that the changed images it takes cost each network."""
    pairs = zip(accuracies(tests, pool), accuracies(tests, pool, images), strict=True)
    return [lab.percent(plain - a for a in changed) for [plain], changed in pairs]


def lead(tests: Records) -> lab.Estimate:
    """Points by which the mean is ahead of flattening."""
    right = (tests.where(pool=pool, images="test")["right"] for pool in ("avg", FLATTEN))
    return lab.lead(*right)


def means(rows: list[list[float]]) -> list[float]:
    return [sum(row) / len(row) for row in rows]


@question.learnt
def learnt(tests: Records, baseline: float) -> dict[str, Verdict]:
    shares = tests.where(images="test").by("pool", of="accuracy")
    return lab.beats({p: lab.estimate(lab.percent(of)) for p, of in shares.items()}, baseline)


@question.answer
def answer(tests: Records, parameters: Records) -> str:
    size = {pool: max(parameters.where(pool=pool)["head"]) for pool in ("avg", FLATTEN)}
    moved = {p: lab.estimate(means(lost(tests, p, "moved"))).mean for p in ("avg", FLATTEN)}
    return (
        f"The mean over positions: a head of {size['avg']:,} weights in place of "
        f"{size[FLATTEN]:,}, {lead(tests).mean:+.1f} points of accuracy, and moved images cost "
        f"{moved['avg']:.0f} points in place of {moved[FLATTEN]:.0f}."
    )


@question.claim("A 4.4", "a map whose pooled features change when its positions are permuted")
def invariant(pooled: Records) -> Verdict:
    """Global sum and max pooling are translation-invariant and completely discard where features
    occurred (as does the mean of A 4.8)."""
    what = "{pool}: largest relative change of {maps} maps"
    return lab.all_of(lab.at_most(row["error"], 1e-6, what.format(**row)) for row in pooled)


@question.claim(
    "A 4.3",
    "a test image whose label changes when it is moved by one pixel",
    instead="shifts",
)
def network(tests: Records) -> Verdict:
    """One simple route from equivariance to invariance is to reduce over the spatial dimensions
    (read of the whole network: a shift by a pixel changes no label)."""
    moved = tests.where(images="moved", pool=POOLS)
    wrong = (share > 0 for share in moved.where(by=min(moved["by"]))["changed"])
    return lab.none_of(wrong, "networks", "change a label when images move by a pixel")


@question.claim("A 4.3, 4.4", "a pooled network that loses as much accuracy as the flattening one")
def shifts(tests: Records) -> Verdict:
    """A globally pooled network depends less on where an object appears: moved images cost it
    less accuracy than they cost the flattening one."""
    losses = {pool: means(lost(tests, pool, "moved")) for pool in ALL}
    more = lambda pool: lab.paired(losses[pool], losses[FLATTEN])
    return lab.all_of(
        lab.at_most(more(p), 0.0, f"{p}: points lost more than by flattening") for p in POOLS
    )


@question.claim(
    "A 4.8", "a pooled head with as many parameters, or counts that differ from the formula"
)
def parameters(parameters: Records) -> Verdict:
    """Global pooling is more parameter-efficient than flattening: c' n weights in the head's first
    layer in place of h' w' c' n."""
    wrong = (row["head"] != row["formula"] for row in parameters)
    largest, flat = (max(parameters.where(pool=p)["head"]) for p in (POOLS, FLATTEN))
    what = "parameters of a pooled head, as a part of the flattening one's"
    counts = lab.none_of(wrong, "heads' counts")
    return lab.all_of(counts, lab.at_most(largest / flat, 1.0, what))


@question.claim("A 4.8", "a network with the mean that is more than a point less accurate")
def accuracy(tests: Records) -> Verdict:
    """Parameter-efficient, so not at the price of accuracy: with the mean it is within a point of
    flattening's."""
    return lab.at_least(lead(tests), -POINT, "mean - flattening in points")


@question.claim(
    "A 4.8, 4.9", "a size that a pooled network refuses, or that a flattening one takes"
)
def resolution(tests: Records, native: int) -> Verdict:
    """Global pooling is more robust to input resolution changes: the model takes any size that its
    convolutions can process, a flattening head only the one it was made for."""
    other = tests.where(lambda test: test["by"] != native, images="resized")
    pooled, flat = (other.where(pool=p)["accuracy"] for p in (POOLS, FLATTEN))
    return lab.all_of(
        lab.none_of((a is None for a in pooled), "pairs of pooled network and size"),
        lab.none_of((a is not None for a in flat), "pairs of flattening network and size"),
    )


@question.claim(
    "A 4.9",
    "a size at which the network with the mean loses more than a point",
    instead="resolution",
)
def independent(tests: Records) -> Verdict:
    """With global pooling the model is conceptually independent of the exact input resolution
    (read of its accuracy: within a point at all sizes)."""
    worst = lab.estimate([max(of) for of in lost(tests, "avg", "resized")])
    return lab.at_most(worst, POINT, "mean: points lost at the worst size")


@question.claim("A 4.4, 4.8", "a sum that loses as little as the mean when the resolution changes")
def mean(tests: Records) -> Verdict:
    """What independence there is asks for a pooling that does not grow with the map: resized images
    cost the mean of A 4.8 less than the sum of A 4.4."""
    more = lab.paired(*(means(lost(tests, pool, "resized")) for pool in ("sum", "avg")))
    return lab.at_least(more, 0.0, "points that the sum loses more than the mean, over all sizes")


@question.table
def sizes_and_accuracy(tests: Records, parameters: Records) -> lab.Rows:
    """Parameters and accuracy"""
    for pool, runs in tests.by("pool").items():
        [count] = parameters.where(pool=pool)
        test, training = (
            lab.estimate(lab.percent(runs.where(images=images)["accuracy"]))
            for images in ("test", "training")
        )
        yield {
            "pooling": pool, "backbone": f"{count['backbone']:,}", "head": f"{count['head']:,}",
            "accuracy, %": f"{test.mean:.1f}", "deviation": f"{test.deviation:.1f}", "n": test.n,
            "training, %": f"{training.mean:.1f}",
        }  # fmt: skip


@question.table
def moved(tests: Records) -> lab.Rows:
    """Accuracy in % on images moved by so many pixels (mean of 4 directions)"""
    for pool, runs in tests.where(images="moved").by("pool").items():
        yield {"pooling": pool} | cells(runs)


@question.table
def resized(tests: Records) -> lab.Rows:
    """Accuracy in % on images of other sizes, trained at {native}"""
    for pool, runs in tests.by("pool").items():
        yield {"pooling": pool} | cells(runs.where(images="resized"))
        back = runs.where(images="resized back")
        yield {"pooling": f"{pool}, resized back"} | cells(back)


def cells(runs: Records) -> dict[str, str]:
    """Of a row: mean and deviation by how much the images were changed."""
    text = lambda s: "refused" if None in s else f"{lab.estimate(lab.percent(s)):.1f}"
    return {str(by): text(shares) for by, shares in runs.by("by", of="accuracy").items()}


@question.figure(10, 4)
def robustness(figure: Figure, tests: Records, native: int) -> None:
    """Test accuracy of the heads when images are moved, and when they are resized; mean and 95 %
    interval over the seeds."""
    left, right = figure.subplots(1, 2, sharey=True)
    taken = lambda at: {by: lab.percent(s) for by, s in sorted(at.items()) if None not in s}
    for i, (pool, runs) in enumerate(tests.by("pool").items()):
        style = {"color": f"C{i}", "ms": 4, "spread": "interval"}
        found = runs.pivot("images", "by", "accuracy")
        lab.curve(left, taken(found["test"] | found["moved"]), label=pool, **style)
        sizes = found["resized"] | {native: found["test"][0]}
        lab.curve(right, taken(sizes), label=pool, **style)
        if pool == FLATTEN:
            label = "flatten, resized back"
            lab.curve(right, taken(found["resized back"]), "o--", label=label, **style)
    left.set(xlabel="moved by, pixels", ylabel="test accuracy, %", title="moved images")
    right.set(xlabel="side of the images, pixels", title=f"resized images, trained at {native}")
    left.legend(title="pooling")
    right.legend(title="pooling", loc="lower left", fontsize="small")


main = lab.command(question)
