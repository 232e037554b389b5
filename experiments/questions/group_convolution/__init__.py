"""Groups beyond translation: convolution over quarter turns and reflections (A 4.3)."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from experiments.group_convolution.networks import (
    PLAIN,
    TURNS,
    Net,
    in_all_turns,
    layer_errors,
    multiply_adds,
    turned,
)
from matplotlib.figure import Figure

from cnnlab import lab, nn
from cnnlab.config import ConfigError
from cnnlab.data import Dataset
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Cells, Count, Limit, Rates, Records, Study, Verdict

LAYERS = ("p4", "p4m", PLAIN)
ROUNDING = 1e-5
Widths = Annotated[Sequence[int], "list of at least 2 whole numbers >= 1"]


class Arm(NamedTuple):
    """A network: its group, its channels as a multiple of those of an orientation, and whether it
    was shown every training image in all four turns."""

    group: str | None
    factor: int
    turned: bool


P4, UPRIGHT, TURNED, NARROW = "p4", "plain", "plain, turned", "plain, turned, narrow"
ARMS = {
    P4: Arm("p4", 1, False),
    UPRIGHT: Arm(None, 4, False),
    TURNED: Arm(None, 4, True),
    NARROW: Arm(None, 2, True),
}

question = lab.Question(
    "group_convolution",
    "What does a convolution over more than translations give?",
    note="p4 is the group of translations and quarter turns, p4m has reflections, too; a layer "
    "has a copy of each filter for each of the 4 or 8 orientations (arXiv:1602.07576). The plain "
    "networks have four times the channels of an orientation, and so the multiply-adds of the p4 "
    "network and nearly four times its weights; the narrow one has twice the channels, about as "
    "many weights and a quarter of the multiply-adds. All end in a mean over positions, p4's over "
    "orientations as well. Turned training images are four for each, in the same number of steps.",
)


@question.measure(
    groups={"data": "fashion_mnist"},
    full={
        "seeds": 5, "most_seeds": 12, "limit_train": None, "limit_eval": None, "steps": 1000,
        "rates": [3e-3, 1e-2],
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    widths: Annotated[Widths, "channels of an orientation"] = (8, 12, 24),
    layers: Annotated[Count, "pairs of layers with random weights, of each kind"] = 10,
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 3,
    most_seeds: Annotated[Count, "but no more than these"] = 3,
    limit_train: Annotated[Limit, "training images"] = 8000,
    limit_eval: Annotated[Limit, "test images"] = 1000,
    steps: Annotated[Count, "batches"] = 400,
    batch_size: Count = 64,
    rates: Annotated[Rates, "Adam's: each network has the one that is best for it"] = (1e-2,),
) -> dict[str, Any]:
    """Errors of random layers; then networks, on test images upright and turned."""
    if len(data.input_shape) != 3 or data.input_shape[0] != data.input_shape[1]:
        raise ConfigError(f"data: expected square images, got {data.input_shape}")
    shown = functools.cache(lambda: dataclasses.replace(
        data, train=in_all_turns(data.train), val=in_all_turns(data.val)
    ))  # fmt: skip

    @functools.cache
    def study(name: str) -> Study:
        arm = ARMS[name]
        limit = limit_train * TURNS if limit_train is not None and arm.turned else limit_train
        settings = {
            "optimizer": "adam", "schedule": "onecycle", "steps": steps, "batch_size": batch_size,
            "limit_train": limit, "limit_eval": limit_eval,
        }  # fmt: skip
        own = {
            "data": shown() if arm.turned else data,
            "model": functools.partial(
                Net, widths=[arm.factor * n for n in widths], group=arm.group
            ),
        }
        tuned = lambda: lab.tuned(settings, rates, seed=seed + 10_000, **own)
        return Study({**settings, "optimizer.lr": cells.get(f"rate: {name}", tuned)}, **own)

    def baseline(name: str) -> float:
        """Logistic regression, shown and tested as a network is."""
        of = study(name).data
        if ARMS[name].turned:
            test = of.test.in_memory()
            of = dataclasses.replace(
                of, test=ArraySplit(turned(np.asarray(test.image)), np.asarray(test.label))
            )
        return lab.logistic_regression(of)

    run = lambda seed, arm: list(answers(study(arm), seed))
    narrow = lambda runs: all(lead(runs, P4, other).narrow(1.0) for other in (TURNED, NARROW))
    several = {"first": seed, "least": seeds, "most": most_seeds}
    many = range(seed, seed + layers)
    return {
        "errors": cells.records("errors", layer_errors, layer=LAYERS, seed=many),
        "networks": cells.seeds("answers", run, narrow, **several, arm=ARMS),
        "baselines": {
            "upright": 100 * cells.get("regression: upright", lambda: baseline(UPRIGHT)),
            "turned": 100 * cells.get("regression: turned", lambda: baseline(TURNED)),
        },
        "parameters": {arm: study(arm).parameters for arm in ARMS},
        "multiply_adds": {arm: multiply_adds(study(arm)) for arm in ARMS},
    }


def answers(study: Study, seed: int) -> Iterator[dict[str, Any]]:
    """Which test images are right, upright and turned, and how many of the answers differ, before
    and after training."""
    for when, network in (("before", study.initial(seed)), ("after", study.train(seed))):
        plain, moved = study.evaluate(network), study.evaluate(network, turned, "turned")
        changed = int((plain.predicted != moved.predicted).sum())
        for images, found in (("upright", plain), ("turned", moved)):
            right = lab.pack(found.predicted == found.label)
            yield {
                "when": when, "images": images, "right": right, "accuracy": 100 * found.accuracy,
                "changed": changed, "of": len(found.label),
            }  # fmt: skip


def after(networks: Records, arm: str, images: str = "turned") -> Records:
    """What trained networks do on test images."""
    return networks.where(when="after", arm=arm, images=images)


def lead(networks: Records, arm: str, over: str) -> lab.Estimate:
    """Points of accuracy on turned images by which one kind of network is ahead."""
    return lab.lead(*(after(networks, one)["right"] for one in (arm, over)))


@question.learnt
def learnt(networks: Records, baselines: dict[str, float]) -> dict[str, Verdict]:
    """To beat logistic regression: the plain network one of upright images, the others, for which
    all turns are the same, one that was shown and is asked turned ones."""
    on = lambda arm, images: {arm: lab.estimate(after(networks, arm, images)["accuracy"])}
    return lab.beats(on(UPRIGHT, "upright"), baselines["upright"]) | lab.beats(
        on(P4, "turned") | on(TURNED, "turned") | on(NARROW, "turned"), baselines["turned"]
    )


@question.answer
def answer(networks: Records) -> str:
    on = lambda arm, images="turned": lab.estimate(after(networks, arm, images)["accuracy"]).mean
    return (
        f"Trained upright, a p4 network has {on(P4, 'upright'):.1f} % of upright and {on(P4):.1f} "
        f"% of turned images right, a plain one {on(UPRIGHT, 'upright'):.1f} and "
        f"{on(UPRIGHT):.1f} %, or {on(TURNED):.1f} % where it was shown all turns."
    )


@question.claim(
    "A 4.3, arXiv:1602.07576", "an element of the group that changes more than rounding"
)
def equivariant(errors: Records) -> Verdict:
    """More general groups lead to other equivariant architectures: convolutions over p4 commute
    with quarter turns, over p4m with reflections, too."""
    worst = lambda layer: max(
        errors.where(lambda r: r["element"] < nn.GROUPS[layer], layer=layer)["error"]
    )
    what = "{}: largest relative error".format
    return lab.all_of(lab.at_most(worst(g), ROUNDING, what(g)) for g in nn.GROUPS)


@question.claim("A 4.3", "a layer that commutes with them all the same")
def only_these(errors: Records) -> Verdict:
    """Convolution is tied to the group of translations, and a group's to that group: a plain one
    commutes with no quarter turn or reflection, one over p4 with no reflection."""
    others = errors.where(lambda r: r["element"] >= max(1, nn.GROUPS.get(r["layer"], 0)))
    found = others.where(layer=(PLAIN, P4))
    return lab.none_of((e <= ROUNDING for e in found["error"]), "layers and elements", "commute")


@question.claim("A 4.3", "an answer of a p4 network that a quarter turn changes")
def invariant(networks: Records) -> Verdict:
    """Reduced over positions and orientations, such a network is invariant: quarter turns change
    none of its answers, trained or untrained."""
    found = networks.where(arm=P4, images="turned")
    return lab.exact(found["changed"], found["of"], "answers to turned images")


@question.claim("A 4.3", "a plain network that loses less than a point", arms=(UPRIGHT,))
def translations_only(networks: Records) -> Verdict:
    """Equivariance to translations gives none to rotations: trained on upright images, a plain
    network has fewer turned ones right, by a point or more."""
    less = lab.lead(*(after(networks, UPRIGHT, of)["right"] for of in ("upright", "turned")))
    return lab.at_least(less, 1.0, "plain: upright - turned in points")


def better(networks: Records, arm: str) -> Verdict:
    what = f"p4 (upright) - {arm} in points, turned images"
    return lab.at_least(lead(networks, P4, arm), 0.0, what)


@question.claim("arXiv:1602.07576", "a plain network that is as accurate", arms=(P4, TURNED))
def as_much_arithmetic(networks: Records) -> Verdict:
    """A symmetry is better built in than learnt: on turned images a p4 network that saw upright
    ones only is ahead of a plain one of as many multiply-adds that was shown all turns."""
    return better(networks, TURNED)


@question.claim("arXiv:1602.07576", "a plain network that is as accurate", arms=(P4, NARROW))
def as_many_weights(networks: Records) -> Verdict:
    """On turned images a p4 network that saw upright ones only is ahead of a plain one of as many
    weights that was shown all turns."""
    return better(networks, NARROW)


@question.table
def accuracies(
    networks: Records, parameters: dict[str, int], multiply_adds: dict[str, int]
) -> lab.Rows:
    """Networks on upright and turned test images, and answers that a turn changes, in %"""
    for (arm, when), runs in networks.by("arm", "when").items():
        on = {i: lab.estimate(of["accuracy"]) for i, of in runs.by("images").items()}
        yield {
            "network": arm, "parameters": f"{parameters[arm]:,}",
            "multiply-adds": f"{multiply_adds[arm]:,}", "training": when,
            **{images: f"{found:.1f}" for images, found in on.items()},
            "changed": f"{100 * sum(runs['changed']) / sum(runs['of']):.3g}",
            "n": on["turned"].n,
        }  # fmt: skip


@question.figure(9, 3.8)
def turns(figure: Figure, errors: Records, networks: Records) -> None:
    """Left: how far layers with random weights are from commuting with each turn and reflection.
    Right: what trained networks have right of upright and of turned images. Mean, lowest and
    highest of the seeds."""
    left, right = figure.subplots(1, 2)
    for layer, found in errors.by("layer").items():
        at = {e: [max(x, 1e-9) for x in of] for e, of in found.by("element", of="error").items()}
        lab.curve(left, at, "o-", spread="range", ms=4, label=layer)
    names = [f"{'reflected, ' if e >= 4 else ''}{90 * (e % 4)}°" for e in range(8)]
    left.set_xticks(range(8), names, rotation=45, ha="right")
    left.set(yscale="log", ylabel="largest relative error")
    left.legend()
    for arm in ARMS:
        on = {images: after(networks, arm, images)["accuracy"] for images in ("upright", "turned")}
        lab.curve(right, on, "o-", spread="range", ms=4, label=arm)
    right.set(ylabel="test accuracy, %", xlabel="test images")
    right.legend()


main = lab.command(question)
