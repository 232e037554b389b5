"""Orthogonal equivariance (B 10.2, Problem 10.2.1): does a rotation of the data rotate what is
learned?

The problem's answer, for a first layer `z = W x` and an orthogonal `R`, whatever its determinant.
Let `l(W, theta; x)` be the loss of an example, `theta` all other parameters. The network sees `x`
through `W x` alone, and `(W R^T)(R x) = W x`, so that

    l(W R^T, theta; R x) = l(W, theta; x)                                                   (1)

With `g = dl/dz`, the gradient in `W` is `g x^T`; at `W R^T`, on `R x`, it is `g (R x)^T =
(g x^T) R^T`: rotated as `W` is. The gradients in `theta` are the same by (1). An update that is a
sum of such terms with factors that a rotation leaves alone (the rate, momentum, a decay
`W -> (1 - a) W`) therefore keeps `(W R^T, theta)` rotated from one step to the next, and the two
functions learned are `f` and `f_R` with `f_R(R x) = f(x)`. So does Muon's, a polynomial `p(G)` with
`p(G R^T) = p(G) R^T`. Adam divides each coordinate by a scale of its own, which a rotation changes.

If the start is random with independent Gaussian entries, `W R^T` is distributed as `W`: then what
is learned from rotated data has the distribution of the rotated function, without a rotated start.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, all_of, at_least, at_most, between, estimate
from experiments._question import Claim, Question, Table, entry
from experiments._two_samples import ks_tests, lost, smallest_p

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

EQUIVARIANT = ("gradient descent", "SGD", "momentum", "weight decay")
# Name: kind of network, algorithm, start on the rotated data.
TRAININGS = {
    **{rule: ("fully connected", rule, "rotated") for rule in (*EQUIVARIANT, "Muon", "Adam")},
    "SGD, same start": ("fully connected", "SGD", "same"),
    "convolution, nearest start": ("convolutional", "SGD", "nearest"),
    "convolution, same start": ("convolutional", "SGD", "same"),
}
# Name: kind of network, algorithm, the config's number of starts.
ARMS = {
    "fully connected, SGD": ("fully connected", "SGD", "starts"),
    "convolutional, momentum": ("convolutional", "momentum", "convolutions"),
}
# A sum of n products has a relative rounding error of about n eps at worst: 256 examples times 400
# steps times 1.1e-16 is 1e-11. Ten times that, for layers after one another.
ROUNDING = 1e-10
# What float32 rounds off is 2^29 times as much. A difference that is not rounding is the same in
# both precisions: a ratio of 1.
PRECISIONS = 1e4
# A hundredth of the function, or of the test examples: less is no difference worth the name.
SMALL = 0.01

CLAIMS = (
    Claim(
        "gradient",
        "B 10.2, Problem 10.2.1",
        "If a rotation R is applied to every input, the loss l(x) becomes l(Rx): from first-layer "
        "weights W R^T, its gradient is the rotated gradient G R^T, and all others are unchanged.",
        "a relative difference beyond rounding (1e-12 in float64)",
    ),
    Claim(
        "equivariant",
        "B 10.2",
        "Training on a rotated dataset yields a rotated version of the function learned on the "
        "original dataset: gradient descent, SGD, momentum and weight decay, from the rotated "
        "start.",
        "f_R(Rx) and f(x) differ by more than rounding, or as much in float32 as in float64",
    ),
    Claim(
        "muon",
        "B 10.2, of an algorithm that it does not name",
        "Muon has it, too: p(G R^T) = p(G) R^T. It magnifies rounding errors, for it makes small "
        "singular values of G as large as the others; but the difference is no more than that.",
        f"f_R(Rx) and f(x) are less than {PRECISIONS:.0e} times as close in float64 as in float32",
    ),
    Claim(
        "every_algorithm",
        "B 10.2",
        "Most standard training algorithms for FC nets possess it, read as: Adam, too, the most "
        "used of them.",
        "with Adam, f_R(Rx) and f(x) differ by more than rounding",
    ),
    Claim(
        "adam",
        "B 10.2",
        "Adam, which scales each coordinate by itself, does not have it: from the rotated start it "
        "learns another function.",
        f"f_R(Rx) and f(x) differ by less than {SMALL:.0%} of f",
    ),
    Claim(
        "convolution",
        "B 10.2",
        "The ConvNet breaks this symmetry: no start makes a convolution do on Rx what it did on x, "
        "and SGD from the nearest start learns another function.",
        f"a first layer that comes within {SMALL:.0%} of the rotated one, or functions that do",
    ),
    Claim(
        "distribution",
        "B 10.2",
        "SGD with random Gaussian initialization has the symmetry: over random starts, none of "
        "them rotated, an FC net learns as well from rotated data, and the same distribution of "
        "functions.",
        f"mean test accuracies {SMALL:.0%} or more apart, or one of the Kolmogorov-Smirnov tests "
        "(accuracy, loss, margins) that rejects at 5 % for all of them together",
    ),
    Claim(
        "worse",
        "B 10.2",
        "A ConvNet has an inherent preference for the coordinate basis: it learns less from "
        "rotated data.",
        f"a mean test accuracy on rotated data that is not {SMALL:.0%} lower",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Gradients; trainings from rotated starts; the distribution over random starts."""
    import numpy as np

    from cnnlab.analysis.rotations import random_orthogonal
    from experiments import _orthogonal_equivariance as lab

    task = lab.load(cfg)
    n = cfg.descent_size
    few = task._replace(x=task.x[:n], y=task.y[:n])
    work = {}
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        work[f"gradient, seed {seed}"] = lambda s=seed: lab.gradient_error(cfg, few, s)
        for name, how in TRAININGS.items():
            work[f"{name}, seed {seed}"] = lambda h=how, s=seed: lab.gap(*h, cfg, few, s)
    bases = {"original": task}
    for i in range(cfg.rotations):
        rng = np.random.default_rng([cfg.seed, 5, i])
        r = random_orthogonal(rng, 1, task.size, determinant=(-1) ** i)[0]
        bases[f"rotation {i}"] = task.rotated(r)
    for arm, (kind, rule, starts) in ARMS.items():
        for stream, (basis, turned) in enumerate(bases.items()):
            work[f"{arm}, {basis}"] = lambda k=kind, a=rule, n=cfg[starts], t=turned, s=stream: (
                lab.learned(k, a, cfg, t, n, s)
            )
    done = cells.all(work)
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    return {
        "gradient": [done[f"gradient, seed {s}"] for s in seeds],
        "trainings": {name: [done[f"{name}, seed {s}"] for s in seeds] for name in TRAININGS},
        "arms": {arm: {basis: done[f"{arm}, {basis}"] for basis in bases} for arm in ARMS},
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Rounding by its size and by what it does in the lower precision; the rest by intervals."""
    gradients = max(g["largest"] for g in data["gradient"])
    worst = {name: max(_gaps(data, name)) for name in TRAININGS}
    precise = lambda names: at_least(
        min(_ratio(data, name) for name in names), PRECISIONS, "smallest gap ratio float32/float64"
    )
    far = lambda name: at_least(
        estimate(_by_seed(data, name, "float64")), SMALL, f"{name}: ||f_R(R x) - f(x)|| / ||f||"
    )
    missing = _by_seed(data, "convolution, nearest start", "missing")
    dense, conv = (data["arms"][a] for a in ("fully connected, SGD", "convolutional, momentum"))
    return {
        "gradient": at_most(gradients, 1e-12, "largest relative difference of a gradient"),
        "equivariant": all_of(
            *(at_most(worst[n], ROUNDING, f"{n}: largest gap") for n in EQUIVARIANT),
            precise(EQUIVARIANT),
        ),
        "muon": precise(["Muon"]),
        "every_algorithm": at_most(worst["Adam"], ROUNDING, "Adam: largest gap"),
        "adam": far("Adam"),
        "convolution": all_of(
            at_least(estimate(missing), SMALL, "first layer's missing share"),
            far("convolution, nearest start"),
        ),
        "distribution": all_of(
            *(between(change, -SMALL, SMALL, f"accuracy lost, {b}") for b, change in lost(dense)),
            at_least(smallest_p(dense), 0.05, "smallest p-value times the number of tests"),
        ),
        "worse": all_of(
            *(at_least(change, SMALL, f"accuracy lost, {b}") for b, change in lost(conv))
        ),
    }


def _gaps(data: Mapping[str, Any], name: str, precision: str = "float64") -> list[float]:
    return [gap for t in data["trainings"][name] for gap in t[precision]]


def _by_seed(data: Mapping[str, Any], name: str, of: str) -> list[float]:
    """Means over the rotation and the reflection of a network, which share its start."""
    return [sum(t[of]) / len(t[of]) for t in data["trainings"][name]]


def _ratio(data: Mapping[str, Any], name: str) -> float:
    """The smallest of the ratios of a training's gaps in the two precisions."""
    gaps = zip(_gaps(data, name, "float32"), _gaps(data, name), strict=True)
    return min(coarse / max(fine, 1e-300) for coarse, fine in gaps)


def tables(data: Mapping[str, Any]) -> list[Table]:
    """The gaps of trainings from rotated starts; the distributions over random starts."""
    trainings = []
    for name, how in TRAININGS.items():
        fine, coarse = (_gaps(data, name, p) for p in ("float64", "float32"))
        equal = estimate([e for t in data["trainings"][name] for e in t["equal"]])
        trainings.append([
            name, how[0], how[2], f"{estimate(fine).mean:.2g}", f"{max(fine):.2g}",
            f"{estimate(coarse).mean:.2g}", f"{equal.mean:.1%}", equal.n,
        ])  # fmt: skip
    rows = []
    for arm, bases in data["arms"].items():
        for (basis, change), other in zip(lost(bases), list(bases.values())[1:], strict=True):
            tests = ks_tests(bases["original"], other)
            rows.append([
                arm, basis, *(_percent(v["accuracy"]) for v in (bases["original"], other)),
                f"{change.mean:.2%} [{change.low:.2%}, {change.high:.2%}]", f"{tests[0][1]:.2f}",
                f"{min(1.0, len(tests) * min(p for *_, p in tests)):.2g}", change.n,
            ])  # fmt: skip
    header = ["training", "network", "start", "gap, float64", "largest", "gap, float32"]
    return [
        Table("From a rotated start", [*header, "same decisions", "n"], trainings),
        Table(
            "From random starts",
            ["training", "data", "accuracy, original", "rotated", "lost [95 %]",
             "KS distance of accuracies", "smallest p x tests", "n"],
            rows,
        ),
    ]  # fmt: skip


def _percent(values: list[float]) -> str:
    e = estimate(values)
    return f"{e.mean:.1%} ± {e.deviation:.1%}"


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """The gaps in both precisions; the distributions of test accuracy."""
    from experiments import _orthogonal_equivariance_figures as figures

    return {
        "gaps": figures.gaps(data["trainings"], ROUNDING),
        "distributions": figures.distributions(data["arms"]),
    }


QUESTION = Question(
    name="orthogonal_equivariance",
    title="Does a rotation of the data rotate what a network learns?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="The chapter says it of most standard algorithms and leaves open of which. It holds, to "
    "rounding and for both determinants, for gradient descent, SGD, momentum and weight decay; "
    "for Muon, but for its magnified rounding; not for Adam. Without a rotated start it holds in "
    "distribution only: the same start gives another function on rotated data.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
