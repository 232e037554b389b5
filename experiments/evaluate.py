"""Test a run again: its scores, a table of its classes, labels or numbers, a picture."""

import sys
from typing import TYPE_CHECKING, Any

from cnnlab.config import cli
from cnnlab.console import narrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from omegaconf import DictConfig


def rehearsal(configs: "list[DictConfig]") -> "Callable[[DictConfig], Any]":
    """Loads every job's run, with one reading of each data set."""
    from cnnlab.config import Rehearsal

    parts = Rehearsal()
    return lambda cfg: _trained(cfg, parts=parts)


def _trained(cfg: "DictConfig", **parts: Any) -> tuple[Any, ...]:
    """The run's experiment, the split to evaluate on, and the trained model, its state and step."""
    from cnnlab.config import ConfigError, granted, load_run

    experiment = load_run(
        cfg.run,
        **cfg.data,
        checkpoint=cfg.checkpoint,
        eval_batch_size=cfg.eval_batch_size,
        limit_eval=cfg.limit_eval,
        trust=granted(cfg),
        **parts,
    )
    split = getattr(experiment.data, cfg.split)
    if not len(split):
        raise ConfigError(f"split: this run has no {cfg.split} split")
    return experiment, split, *experiment.trained(cfg.checkpoint)


@cli(
    "evaluate",
    rehearsal=rehearsal,
    examples=("run=outputs/...", "run=outputs/... tta=flip split=val"),
)
def main(cfg: "DictConfig") -> None:
    """Evaluate a run's checkpoint on a split of its data set."""
    from cnnlab.errors import WriteError
    from cnnlab.train import report
    from cnnlab.train.scores import scored, shown

    narrate()
    experiment, split, model, model_state, step = _trained(cfg)
    evaluation = experiment.evaluator(split, cfg.tta)(model, model_state)
    shape = experiment.data.input_shape
    size = None if cfg.data.size is None else "x".join(map(str, shape[:-1]))
    suffix = "-".join(
        [cfg.split, *([] if cfg.tta == "none" else [cfg.tta]), *([size] if size else [])]
    )
    scores = scored(evaluation, experiment.metrics)
    found = {name: scores.get(name) for name in (*experiment.metrics, "loss")}
    print(report.table(evaluation))
    print(
        f"{cfg.split} {shown(found)}  "
        f"(n = {len(evaluation.label)}, step {step}, views: {cfg.tta}"
        f"{f', size {size}' if size else ''})"
    )
    try:
        print(f"picture {report.picture(evaluation, experiment.directory.figures, f'-{suffix}')}")
    except WriteError as error:  # of a run that is only to be read: the scores are there
        print(f"note: no picture: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
