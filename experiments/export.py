"""A trained run as one StableHLO file."""

from typing import TYPE_CHECKING

from cnnlab.config import cli
from cnnlab.console import narrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from omegaconf import DictConfig


def rehearsal(configs: "list[DictConfig]") -> "Callable[[DictConfig], object]":
    """Loads every job's run."""
    from cnnlab.config import granted, load_predictor

    return lambda cfg: load_predictor(cfg.run, cfg.checkpoint, trust=granted(cfg))


@cli("export", rehearsal=rehearsal, examples=("run=outputs/... path=model.stablehlo",))
def main(cfg: "DictConfig") -> None:
    """Write a trained model, raw examples to answers, for any batch size and platform."""
    from cnnlab.config import file_to_write, granted, load_predictor

    narrate()
    file = file_to_write(cfg, "path")
    predictor = load_predictor(cfg.run, cfg.checkpoint, trust=granted(cfg))
    predictor.export(file)
    size = file.stat().st_size
    print(f"{file}: (batch, {', '.join(map(str, predictor.input_shape))}), {size:,} bytes")


if __name__ == "__main__":
    main()
