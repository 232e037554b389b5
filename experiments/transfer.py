"""A backbone trained on some classes, a new head for others (A 4.8, 4.9)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, all_of, at_least, at_most, estimate, paired
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

MODES = ("frozen", "tuned", "scratch", "random")
LABELS = {
    "frozen": "trained backbone frozen, new head",
    "tuned": "trained backbone, all fine-tuned",
    "scratch": "all from scratch",
    "random": "random backbone frozen, new head",
}

CLAIMS = (
    Claim(
        "few",
        "A 4.8",
        "This decomposition is key for transfer learning: a pre-trained backbone is reused under a "
        "new head (with few examples of the new classes that beats training from scratch).",
        "a number of examples, at most `few` a class, at which training from scratch is ahead",
    ),
    Claim(
        "encoder",
        "A 4.9",
        "The separation is central to reusing CNNs as generic image encoders: for classes that it "
        "never saw, a trained backbone's features are better than a random one's.",
        "a number of examples at which a head on a random backbone is ahead",
    ),
    Claim(
        "finetune",
        "A 4.8",
        "One often finetunes for a new task: from the trained backbone on, training all of it is "
        "ahead of training from scratch at every number of examples.",
        "a number of examples at which training from scratch is ahead",
    ),
    Claim(
        "shrinks",
        "A 4.8",
        "What the backbone brings replaces examples: its lead over training from scratch is larger "
        "with the fewest examples than with the most.",
        "a lead of the frozen backbone that does not shrink",
    ),
    Claim(
        "many",
        "A 4.8",
        "Swap or finetune: with the most examples, to finetune is ahead of only a new head.",
        "a frozen backbone that is ahead with the most examples",
    ),
)


def check(cfg: "DictConfig") -> None:
    """A few examples are among the sizes; no class is in both tasks."""
    from cnnlab.config import ConfigError

    if cfg.examples[0] > cfg.few:
        raise ConfigError(f"examples: expected the first at most few={cfg.few}, got {cfg.examples}")
    if both := set(cfg.source) & set(cfg.target):
        raise ConfigError(f"target: expected other classes than source, got {min(both)} in both")


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Test accuracies on the target classes: each way of training, number of examples and seed."""
    from cnnlab.config import ConfigError, instantiate

    data, counts = instantiate(cfg.data, key="data"), list(cfg.examples)
    for key in ("source", "target"):
        if max(cfg[key]) >= data.num_classes:
            most = data.num_classes - 1
            raise ConfigError(f"{key}: expected classes up to {most}, got {list(cfg[key])}")

    from experiments._transfer import Transfer, rarest

    there = rarest(data.train, list(cfg.target))
    if counts[-1] > there:
        raise ConfigError(f"examples: expected at most {there} of a class, got {counts[-1]}")
    show = lambda value: "null" if value is None else value
    transfer = Transfer(
        overrides=[
            *(f"{key}={show(cfg[key])}" for key in ("batch_size", "limit_eval")),
            *(f"backbone.plan={list(cfg.plan)}", "optimizer=adam", f"optimizer.lr={cfg.lr}"),
        ],
        source_overrides=[f"steps={cfg.source_steps}", f"limit_train={show(cfg.limit_train)}"],
        target_overrides=[f"steps={cfg.steps}"],
        head_overrides=[f"optimizer.lr={cfg.head_lr}"],
        data=data,
        source=list(cfg.source),
        target=list(cfg.target),
        most=counts[-1],
    )
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    todo = {}
    for seed in seeds:
        todo[f"source {seed}"] = lambda seed=seed: transfer.source_accuracy(seed)
        for n in counts:
            for mode in MODES:
                todo[f"{mode} {n} {seed}"] = lambda mode=mode, n=n, seed=seed: transfer.accuracy(
                    mode, n, seed
                )
    found = cells.all(todo)
    return {
        "examples": counts,
        "few": cfg.few,
        "source": [data.class_names[c] for c in cfg.source],
        "target": [data.class_names[c] for c in cfg.target],
        "source_accuracy": [found[f"source {seed}"] for seed in seeds],
        "accuracy": {
            mode: {str(n): [found[f"{mode} {n} {seed}"] for seed in seeds] for n in counts}
            for mode in MODES
        },
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Differences of accuracy in points, paired by seed: the same examples, the same new head."""
    counts = data["examples"]

    def lead(mode: str, over: str, n: int) -> list[float]:
        pairs = zip(_percent(data, mode, n), _percent(data, over, n), strict=True)
        return [a - b for a, b in pairs]

    def ahead(mode: str, over: str, numbers: Sequence[int]) -> Verdict:
        return all_of(*(
            at_least(estimate(lead(mode, over, n)), 0.0, f"{n} a class: {mode} - {over} in points")
            for n in numbers
        ))  # fmt: skip

    first, last = (lead("frozen", "scratch", n) for n in (counts[0], counts[-1]))
    return {
        "few": ahead("frozen", "scratch", [n for n in counts if n <= data["few"]]),
        "encoder": ahead("frozen", "random", counts),
        "finetune": ahead("tuned", "scratch", counts),
        "shrinks": at_least(
            paired(first, last), 0.0,
            f"lead at {counts[0]} a class - lead at {counts[-1]} a class, in points",
        ),
        "many": at_most(
            estimate(lead("frozen", "tuned", counts[-1])), 0.0,
            f"{counts[-1]} a class: frozen - tuned in points",
        ),
    }  # fmt: skip


def _percent(data: Mapping[str, Any], mode: str, n: int) -> list[float]:
    return [100 * share for share in data["accuracy"][mode][str(n)]]


def tables(data: Mapping[str, Any]) -> list[Table]:
    """A row for each way of training, a column for each number of examples."""
    rows = []
    for mode in MODES:
        found = [estimate(_percent(data, mode, n)) for n in data["examples"]]
        rows.append([LABELS[mode], *(f"{e.mean:.1f} ± {e.deviation:.1f}" for e in found)])
    source = estimate([100 * share for share in data["source_accuracy"]])
    title = (
        f"Test accuracy in % on {', '.join(data['target'])} (n = {source.n}); the backbone knows "
        f"{', '.join(data['source'])} ({source.mean:.1f} ± {source.deviation:.1f} %)"
    )
    return [Table(title, ["examples a class", *map(str, data["examples"])], rows)]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Accuracy against the number of examples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axes = figure.subplots()
    for i, mode in enumerate(MODES):
        values = [_percent(data, mode, n) for n in data["examples"]]
        means = [estimate(v).mean for v in values]
        axes.plot(data["examples"], means, "o-", ms=4, color=f"C{i}", label=LABELS[mode])
        low, high = [min(v) for v in values], [max(v) for v in values]
        axes.fill_between(data["examples"], low, high, alpha=0.15, lw=0, color=f"C{i}")
    axes.axhline(100 / len(data["target"]), color="grey", lw=1, ls=":", label="chance")
    axes.set(xscale="log", xlabel="training examples of each new class", ylabel="test accuracy, %")
    axes.set_xticks(data["examples"], [str(n) for n in data["examples"]])
    axes.minorticks_off()
    axes.set_title(f"{', '.join(data['target'])}; mean, lowest and highest of the seeds", size=10)
    axes.legend(fontsize="small")
    return {"transfer": figure}


QUESTION = Question(
    name="transfer",
    title="Is a trained backbone worth keeping for new classes?",
    claims=CLAIMS,
    check=check,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="The chapter states no numbers; these are testable forms of what it says. All ways of "
    "training take the same number of steps (a head on its own at a higher rate), and a seed's "
    "networks for one number of examples see the same ones and start from the same head.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
