"""A backbone trained on some classes, a new head for others (A 4.8, 4.9)."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.data import Dataset, Split
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Cells, Count, Limit, Plan, Rates, Records, Sizes, Study, Verdict

# How a network for the target classes comes to be.
MODES = {
    "frozen": "trained backbone frozen, new head",
    "tuned": "trained backbone, all fine-tuned",
    "scratch": "all from scratch",
    "random": "random backbone frozen, new head",
}
PIXELS = "logistic regression on the pixels"
POINT = 1.0  # of accuracy: the intervals are to be as narrow
PLAN = (16, "M", 32, "M", 64)
RATES = (3e-3, 1e-2)
HEAD_RATES = (3e-2, 0.1)
Classes = Annotated[Sequence[int], "list of at least 2 different whole numbers >= 0"]

question = lab.Question(
    "transfer",
    "Is a trained backbone worth keeping for new classes?",
    note="The chapter states no numbers; these are testable forms of what it says. All ways of "
    "training take the same number of steps, each at the rate that is best for it on validation "
    "images with as many examples, and a seed's networks for one number of examples see the same "
    "ones and start from the same head. A head alone is a linear model of features: how far these "
    "are ahead of or behind the pixels themselves, as many examples given, the table shows.",
)


@question.check
def check(source: Sequence[int], target: Sequence[int], examples: Sequence[int], few: int) -> None:
    """A few examples are among the sizes; no class is in both tasks."""
    if examples[0] > few:
        raise ConfigError(f"examples: expected the first at most few={few}, got {examples}")
    if both := set(source) & set(target):
        raise ConfigError(f"target: expected other classes than source, got {min(both)} in both")


@question.measure(
    groups={"data": "fashion_mnist"},
    full={
        "examples": [1, 5, 10, 50, 100, 500], "plan": [16, "M", 32, "M", 64, 64],
        "most_seeds": 32, "limit_train": None, "source_steps": 1500,
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    source: Annotated[Classes, "on which the backbone is trained: every second"] = (0, 2, 4, 6, 8),
    target: Annotated[Classes, "of the new task"] = (1, 3, 5, 7, 9),
    examples: Annotated[Sizes, "training images of each target class"] = (1, 10, 100, 500),
    few: Annotated[Count, "so many, or less, are few: where transfer should pay"] = 10,
    plan: Annotated[Plan, "of the backbone; the head is linear on the mean"] = PLAN,
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 3,
    most_seeds: Annotated[Count, "but no more than these"] = 8,
    limit_train: Annotated[Limit, "training images of the source classes"] = 12_000,
    limit_eval: Annotated[Limit, "test images"] = None,
    source_steps: Annotated[Count, "batches of the source classes"] = 1000,
    steps: Annotated[Count, "batches of the target classes, whatever trains"] = 400,
    batch_size: Count = 50,
    rates: Annotated[Rates, "Adam's, where a backbone is trained: the best of each way"] = RATES,
    head_rates: Annotated[Rates, "where only a head is, one linear layer"] = HEAD_RATES,
) -> dict[str, Any]:
    """Which test images of the target classes are right: each way of training, number of examples
    and seed."""
    for key, classes in (("source", source), ("target", target)):
        if max(classes) >= data.num_classes:
            most = data.num_classes - 1
            raise ConfigError(f"{key}: expected classes up to {most}, got {classes}")
    labels = np.asarray(data.train.in_memory().label)
    there = min(int((labels == c).sum()) for c in target)
    if examples[-1] > there:
        raise ConfigError(f"examples: expected at most {there} of a class, got {examples[-1]}")

    settings = {
        "batch_size": batch_size, "limit_eval": limit_eval, "backbone.plan": plan,
        "optimizer": "adam",
    }  # fmt: skip
    new, most = lab.classes_of(data, target), examples[-1]

    @functools.cache
    def source_study() -> Study:
        """Networks for the source classes."""
        old, own = lab.classes_of(data, source), {"steps": source_steps, "limit_train": limit_train}
        of = {**settings, **own}
        tuned = lambda: lab.tuned(of, rates, seed=seed + 10_000, data=old)
        return Study({**of, "optimizer.lr": cells.get("rate: source", tuned)}, data=old)

    @functools.cache
    def study(head: bool, rate: float) -> Study:
        """Networks for the target classes, of which all is trained or the head."""
        return Study({**settings, "steps": steps, "optimizer.lr": rate}, data=new, frozen=head)

    backbone = functools.cache(lambda seed: source_study().train(seed))
    known = lambda seed: source_study().evaluate(backbone(seed)).accuracy

    def trained(mode: str, rate: float, examples: int, seed: int) -> tuple[Study, Any]:
        networks = study(mode in ("frozen", "random"), rate)
        reused = mode in ("frozen", "tuned")
        start = networks.on_backbone(seed, backbone(seed)) if reused else None
        some = repeated(new.train, examples, most, len(target), seed)
        return networks, networks.train(seed, start, examples=some)

    def best(mode: str, examples: int) -> float:
        """The rate that is best for a way of training and a number of examples."""

        def score(rate: float) -> float:
            networks, found = trained(mode, rate, examples, seed + 10_000)
            return networks.validation(found)

        some = head_rates if mode in ("frozen", "random") else rates
        return cells.get(f"rate: {mode}, {examples}", lambda: lab.best_rate(some, score))

    def tested(seed: int, examples: int, mode: str) -> dict[str, Any]:
        networks, found = trained(mode, best(mode, examples), examples, seed)
        answers = networks.evaluate(found)
        right = lab.pack(answers.predicted == answers.label)
        return {"right": right, "accuracy": 100 * answers.accuracy}

    def pixels(seed: int, examples: int) -> float:
        """Logistic regression on the pixels of the same examples."""
        some = repeated(new.train, examples, examples, len(target), seed)
        return 100 * lab.logistic_regression(dataclasses.replace(new, train=some))

    narrow = lambda runs: all(
        lead(runs, mode, "scratch", n).narrow(POINT)
        for n in examples
        for mode in ("frozen", "tuned")
    )
    several = {"first": seed, "least": seeds, "most": most_seeds}
    runs = cells.seeds("tested", tested, narrow, **several, examples=examples, mode=MODES)
    measured = runs.by("seed")
    source_pixels = lambda: 100 * lab.logistic_regression(source_study().data)
    return {
        "few": few,
        "source": [data.class_names[c] for c in source],
        "target": [data.class_names[c] for c in target],
        "baseline": cells.get("logistic regression", source_pixels),
        "pixels": cells.records("accuracy", pixels, seed=measured, examples=examples),
        "backbones": cells.records("accuracy", known, seed=measured),
        "runs": runs,
    }


def repeated(train: Split, examples: int, most: int, classes: int, seed: int) -> ArraySplit:
    """`examples` random ones of each class, repeated until there are `most` of each, so that all
    networks see batches of one size and are compiled once.

    A seed's larger draws contain its smaller ones.
    """
    memory = train.in_memory()
    label, generator = np.asarray(memory.label), np.random.RandomState(seed)
    drawn = [generator.permutation(np.flatnonzero(label == c))[:examples] for c in range(classes)]
    return memory.select(np.concatenate([np.resize(positions, most) for positions in drawn]))


def right(runs: Records, mode: str, examples: int) -> list[str]:
    """Which test images, by seed."""
    return runs.where(examples=examples, mode=mode)["right"]


def lead(runs: Records, mode: str, over: str, examples: int) -> lab.Estimate:
    """Points: the same examples, the same new head."""
    return lab.lead(*(right(runs, one, examples) for one in (mode, over)))


def ahead(runs: Records, mode: str, over: str, most: float = float("inf")) -> Verdict:
    """At every number of examples, up to `most`."""
    what = f"{{}} a class: {mode} - {over} in points".format
    counts = [n for n in runs.by("examples") if n <= most]
    return lab.all_of(lab.at_least(lead(runs, mode, over, n), 0.0, what(n)) for n in counts)


@question.learnt
def learnt(
    runs: Records, backbones: Records, baseline: float, pixels: Records
) -> dict[str, Verdict]:
    """The backbones on their classes; and what trains all of a network, with the most examples: a
    few are too few for any, which is what the question is about."""
    *_, most = runs.by("examples")
    known = {"backbones": lab.estimate(lab.percent(backbones["accuracy"]))}
    modes = runs.where(examples=most).by("mode", of="accuracy")
    trained = {mode: lab.estimate(modes[mode]) for mode in ("scratch", "tuned")}
    of_pixels = lab.estimate(pixels.where(examples=most)["accuracy"]).mean
    return lab.beats(known, baseline) | lab.beats(trained, of_pixels)


@question.answer
def answer(runs: Records, few: int) -> str:
    fewest, *_, most = runs.by("examples")
    points = lambda mode, n: f"{lead(runs, mode, 'scratch', n).mean:+.1f}"
    both = lambda mode: f"{points(mode, fewest)} and {points(mode, most)}"
    return (
        f"Points of a trained backbone over training from scratch, with {fewest} and {most} "
        f"examples of each class: under a new head {both('frozen')}; finetuned {both('tuned')}."
    )


@question.claim(
    "A 4.8",
    "a number of examples, at most `few` a class, at which training from scratch is ahead",
)
def few(runs: Records, few: int) -> Verdict:
    """A pre-trained backbone is reused under a new head, read as: with few examples of the new
    classes that head alone beats training from scratch."""
    return ahead(runs, "frozen", "scratch", few)


@question.claim("A 4.9", "a number of examples at which a head on a random backbone is ahead")
def encoder(runs: Records) -> Verdict:
    """The separation is central to reusing CNNs as generic image encoders: for classes that it
    never saw, a trained backbone's features are better than a random one's."""
    return ahead(runs, "frozen", "random")


@question.claim("A 4.8", "a number of examples at which training from scratch is ahead")
def finetune(runs: Records) -> Verdict:
    """One often finetunes for a new task: from the trained backbone on, training all of it is ahead
    of training from scratch at every number of examples."""
    return ahead(runs, "tuned", "scratch")


@question.claim("A 4.8", "a lead of the finetuned backbone that does not shrink")
def shrinks(runs: Records) -> Verdict:
    """What the backbone brings replaces examples: finetuned, its lead over training from scratch is
    larger with the fewest examples than with the most."""
    fewest, *_, most = runs.by("examples")
    few, many = ([right(runs, mode, n) for mode in ("tuned", "scratch")] for n in (fewest, most))
    what = f"lead at {fewest} a class - lead at {most} a class, in points"
    return lab.at_least(lab.lead(*few, than=many), 0.0, what)


@question.claim("A 4.8", "a frozen backbone that is ahead with the most examples")
def many(runs: Records) -> Verdict:
    """Swap or finetune: with the most examples, to finetune is ahead of only a new head."""
    *_, most = runs.by("examples")
    points = lead(runs, "frozen", "tuned", most)
    return lab.at_most(points, 0.0, f"{most} a class: frozen - tuned in points")


@question.table
def accuracies(
    runs: Records, pixels: Records, backbones: Records, source: Sequence[str], target: Sequence[str]
) -> lab.Table:
    """A row for each way of training, a column for each number of examples."""
    cell = lambda points: f"{lab.estimate(points):.1f}"
    by_mode = runs.pivot("mode", "examples", "accuracy").items()
    found = {MODES[mode]: of for mode, of in by_mode}
    found[PIXELS] = pixels.by("examples", of="accuracy")
    rows = [
        {"examples a class": name} | {str(n): cell(points) for n, points in of.items()}
        for name, of in found.items()
    ]
    title = (
        f"Test accuracy in % on {', '.join(target)} (n = {len(backbones)}); the backbone knows "
        f"{', '.join(source)} ({cell(lab.percent(backbones['accuracy']))} %)"
    )
    return lab.Table.of(title, rows)


@question.figure(7.5, 4.4)
def transfer(figure: Figure, runs: Records, pixels: Records, target: Sequence[str]) -> None:
    """Test accuracy on the new classes against the number of their training examples, by what is
    kept of the trained network, and of logistic regression on the pixels; mean, lowest and highest
    of the seeds."""
    axes = figure.subplots()
    for mode, found in runs.pivot("mode", "examples", "accuracy").items():
        lab.curve(axes, found, spread="range", ms=4, label=MODES[mode])
    linear = pixels.by("examples", of="accuracy")
    lab.curve(axes, linear, "--", color="grey", label=PIXELS)
    axes.axhline(100 / len(target), color="grey", lw=1, ls=":", label="chance")
    lab.log_axes(axes, x=list(runs.by("examples")))
    axes.set(xlabel="training examples of each new class", ylabel="test accuracy, %")
    axes.set_title(", ".join(target), size=10)
    axes.legend(fontsize="small")


main = lab.command(question)

if __name__ == "__main__":
    main()
