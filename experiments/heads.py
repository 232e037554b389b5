"""Global pooling or flattening in front of the classifier (A 4.4, 4.8, 4.9)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import (
    Estimate,
    Verdict,
    all_of,
    at_least,
    at_most,
    estimate,
    exact,
    paired,
)
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

POOLS = ("avg", "max", "sum")
FLATTEN = "flatten"
# Points of accuracy: about the standard error of an accuracy of 85 % on 1,000 test images.
POINT = 1.0

CLAIMS = (
    Claim(
        "invariant",
        "A 4.4",
        "Global sum and max pooling are translation-invariant and completely discard where "
        "features occurred (as does the mean of A 4.8).",
        "a map whose pooled features change when its positions are permuted",
    ),
    Claim(
        "network",
        "A 4.3",
        "One simple route from equivariance to invariance is to reduce over the spatial "
        "dimensions (read of the whole network: a shift by a pixel changes no label).",
        "a test image whose label changes when it is moved by one pixel",
    ),
    Claim(
        "shifts",
        "A 4.3, 4.4",
        "A globally pooled network depends less on where an object appears: moved images cost it "
        "less accuracy than they cost the flattening one.",
        "a pooled network that loses as much accuracy as the flattening one",
    ),
    Claim(
        "parameters",
        "A 4.8",
        "Global pooling is more parameter-efficient than flattening: c' n weights in the head's "
        "first layer in place of h' w' c' n.",
        "a pooled head with as many parameters, or counts that differ from the formula",
    ),
    Claim(
        "accuracy",
        "A 4.8",
        "Parameter-efficient, so not at the price of accuracy: with the mean it is within a point "
        "of flattening's.",
        "a network with the mean that is more than a point less accurate",
    ),
    Claim(
        "resolution",
        "A 4.8, 4.9",
        "Global pooling is more robust to input resolution changes: the model takes any size that "
        "its convolutions can process, a flattening head only the one it was made for.",
        "a size that a pooled network refuses, or that a flattening one takes",
    ),
    Claim(
        "independent",
        "A 4.9",
        "With global pooling the model is conceptually independent of the exact input resolution "
        "(read of its accuracy: within a point at all sizes).",
        "a size at which the network with the mean loses more than a point",
    ),
    Claim(
        "mean",
        "A 4.4, 4.8",
        "What independence there is asks for a pooling that does not grow with the map: resized "
        "images cost the mean of A 4.8 less than the sum of A 4.4.",
        "a sum that loses as little as the mean when the resolution changes",
    ),
)


def check(cfg: "DictConfig") -> None:
    """All poolings are compared."""
    from cnnlab.config import ConfigError

    if missing := {*POOLS, FLATTEN} - set(cfg.pools):
        raise ConfigError(f"pools: expected all of them, got none of {', '.join(missing)}")


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Train each head's networks and test them on moved and on resized images."""
    from cnnlab.config import ConfigError, instantiate
    from experiments._heads import Bench, pooled_error

    data = instantiate(cfg.data, key="data")
    if len(data.input_shape) != 3 or data.input_shape[0] != data.input_shape[1]:
        raise ConfigError(f"data: expected square images, got inputs of shape {data.input_shape}")
    limits = ("batch_size", "steps", "limit_train", "limit_eval")
    overrides = [f"{key}={'null' if cfg[key] is None else cfg[key]}" for key in limits]
    overrides += [f"backbone.plan={list(cfg.plan)}", "head=mlp", f"head.hidden={list(cfg.hidden)}"]
    overrides += ["optimizer=adam", f"optimizer.lr={cfg.lr}"]
    bench = Bench(overrides, data, cfg.shifts, cfg.sizes)
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    runs = cells.all(
        {
            f"{pool} {seed}": lambda pool=pool, seed=seed: bench.run(pool, seed)
            for pool in cfg.pools
            for seed in seeds
        }
    )
    return {
        "native": data.input_shape[0],
        "parameters": {
            pool: cells.get(f"{pool} parameters", lambda pool=pool: bench.parameters(pool))
            for pool in cfg.pools
        },
        "widths": [_last(cfg.plan), *cfg.hidden, data.num_classes],
        "positions": _positions(cfg.plan, data.input_shape),
        "pooled": {
            kind: max(pooled_error(kind, (cfg.seed, i)) for i in range(cfg.maps)) for kind in POOLS
        },
        "maps": cfg.maps,
        "runs": {pool: [runs[f"{pool} {seed}"] for seed in seeds] for pool in cfg.pools},
    }


def _last(plan: Sequence[Any]) -> int:
    return [width for width in plan if width != "M"][-1]


def _positions(plan: Sequence[Any], shape: Sequence[int]) -> int:
    """`h' w'` of the backbone's features: every pooling halves and rounds up."""
    side = shape[0]
    for halving in (step == "M" for step in plan):
        side = -(-side // 2) if halving else side
    return side * side


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Counts, exactly; accuracies in points, paired by seed."""
    runs = data["runs"]
    n = sum(len(runs[pool]) for pool in POOLS)
    changed = [run["changed"][min(run["changed"], key=int)] for pool in POOLS for run in runs[pool]]
    sizes = [s for s in runs["avg"][0]["sizes"] if int(s) != data["native"]]
    refused = [run["sizes"][s] is None for pool in POOLS for run in runs[pool] for s in sizes]
    taken = [run["sizes"][s] is not None for run in runs[FLATTEN] for s in sizes]
    flat = _losses(runs[FLATTEN], "shifts")
    worst = {pool: _losses(runs[pool], "sizes", max) for pool in POOLS}
    points = {pool: [100 * run["accuracy"] for run in runs[pool]] for pool in runs}
    return {
        "invariant": all_of(*(
            at_most(error, 1e-6, f"{kind}: largest relative change of {data['maps']} maps")
            for kind, error in data["pooled"].items()
        )),
        "network": exact(
            sum(share > 0 for share in changed), n, "networks, moved by a pixel, in some label,"
        ),
        "shifts": all_of(*(
            at_most(paired(_losses(runs[pool], "shifts"), flat), 0.0,
                    f"{pool}: points lost more than by flattening")
            for pool in POOLS
        )),
        "parameters": _count(data),
        "accuracy": at_least(
            paired(points["avg"], points[FLATTEN]), -POINT, "mean - flattening in points"
        ),
        "resolution": all_of(
            exact(sum(refused), len(refused), "pairs of pooled network and size"),
            exact(sum(taken), len(taken), "pairs of flattening network and size"),
        ),
        "independent": at_most(
            estimate(worst["avg"]), POINT, "mean: points lost at the worst size"
        ),
        "mean": at_least(
            paired(_losses(runs["sum"], "sizes"), _losses(runs["avg"], "sizes")), 0.0,
            "points that the sum loses more than the mean, over all sizes",
        ),
    }  # fmt: skip


def _losses(runs: Sequence[Mapping[str, Any]], kind: str, over: Any = None) -> list[float]:
    """Points of accuracy that the changed images it takes cost each network, in the mean."""
    over = over or (lambda losses: sum(losses) / len(losses))
    taken = [[a for a in run[kind].values() if a is not None] for run in runs]
    pairs = zip(runs, taken, strict=True)
    return [over([100 * (run["accuracy"] - a) for a in values]) for run, values in pairs]


def _count(data: Mapping[str, Any]) -> Verdict:
    """Every head by the formula, and the largest pooled one against the flattening one."""
    first, *rest = data["widths"]
    sizes = {pool: first for pool in POOLS} | {FLATTEN: first * data["positions"]}
    counted = {pool: data["parameters"][pool]["head"] for pool in sizes}
    wrong = 0
    for pool, size in sizes.items():
        layers = zip((size, *rest), rest, strict=False)
        wrong += counted[pool] != sum(a * b + b for a, b in layers)
    largest = max(counted[pool] for pool in POOLS) / counted[FLATTEN]
    return all_of(
        exact(wrong, len(sizes), "heads' counts"),
        at_most(largest, 1.0, "parameters of a pooled head, as a part of the flattening one's"),
    )


def tables(data: Mapping[str, Any]) -> list[Table]:
    """A row for each pooling: size and accuracy, moved images, resized images."""
    runs = data["runs"]
    shifts, sizes = (list(runs["avg"][0][kind]) for kind in ("shifts", "sizes"))
    main, moved, resized = [], [], []
    for pool, of in runs.items():
        count, fitted = data["parameters"][pool], estimate([r["train_accuracy"] for r in of])
        row = [pool, f"{count['backbone']:,}", f"{count['head']:,}"]
        row += [*_show([r["accuracy"] for r in of]), len(of), f"{100 * fitted.mean:.1f}"]
        main.append(row)
        moved.append([pool, *(_cell([r["shifts"][d] for r in of]) for d in shifts)])
        resized.append([pool, *(_cell([r["sizes"][s] for r in of]) for s in sizes)])
        resized.append(
            [f"{pool}, resized back", *(_cell([r["back"][s] for r in of]) for s in sizes)]
        )
    header = ["pooling", "backbone", "head", "accuracy, %", "deviation", "n", "training, %"]
    return [
        Table("Parameters and accuracy", header, main),
        Table("Accuracy in % on images moved by so many pixels (mean of 4 directions)",
              ["pooling", *shifts], moved),
        Table(f"Accuracy in % on images of other sizes, trained at {data['native']}",
              ["pooling", *sizes], resized),
    ]  # fmt: skip


def _show(shares: Sequence[float]) -> list[str]:
    found = estimate([100 * s for s in shares])
    return [f"{found.mean:.1f}", f"{found.deviation:.1f}"]


def _cell(shares: Sequence[float | None]) -> str:
    return "refused" if None in shares else " ± ".join(_show(shares))


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Accuracy against the distance moved and against the size of the images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    moved, resized = figure.subplots(1, 2, sharey=True)
    for i, (pool, runs) in enumerate(data["runs"].items()):
        style = {"color": f"C{i}", "marker": "o", "ms": 4, "capsize": 3}
        still = [run["accuracy"] for run in runs]
        at = {0: still} | {int(d): [r["shifts"][d] for r in runs] for d in runs[0]["shifts"]}
        _line(moved, at, label=pool, **style)
        at = {int(s): [r["sizes"][s] for r in runs] for s in runs[0]["sizes"]}
        at = {s: shares for s, shares in at.items() if None not in shares} | {data["native"]: still}
        _line(resized, dict(sorted(at.items())), label=pool, **style)
        if pool == FLATTEN:
            back = {int(s): [r["back"][s] for r in runs] for s in runs[0]["back"]}
            _line(resized, back, label="flatten, resized back", ls="--", **style)
    moved.set(xlabel="moved by, pixels", ylabel="test accuracy, %", title="moved images")
    size = data["native"]
    resized.set(
        xlabel="side of the test images, pixels", title=f"resized images, trained at {size}"
    )
    moved.legend(title="pooling")
    resized.legend(title="pooling", loc="lower left", fontsize="small")
    return {"robustness": figure}


def _line(axes: Any, at: Mapping[int, Sequence[float]], **style: Any) -> None:
    found = [estimate([100 * share for share in shares]) for shares in at.values()]
    axes.errorbar(list(at), [e.mean for e in found], [_half(e) for e in found], **style)


def _half(found: Estimate) -> float:
    return found.high - found.mean if found.n > 1 else 0.0


QUESTION = Question(
    name="heads",
    title="Global pooling or flattening before the classifier?",
    claims=CLAIMS,
    check=check,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="The pooling is invariant, the network is not: zeros come in at the borders, and its "
    "2x2 poolings before are only equivariant to shifts by their strides. And a model that runs at "
    "any resolution is not as accurate at any: objects of another size meet the same kernels, and "
    "a sum (A 4.4) grows with the map.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
