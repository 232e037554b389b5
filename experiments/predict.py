"""What a trained run says of a picture: its most probable classes, say."""

from typing import TYPE_CHECKING

from cnnlab.config import cli
from cnnlab.console import narrate

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from omegaconf import DictConfig

    from cnnlab.train.predict import Predictor


def rehearsal(configs: "list[DictConfig]") -> "Callable[[DictConfig], object]":
    """Reads every job's picture; each run is loaded once for each shape of picture."""
    import functools

    from cnnlab.config import load_predictor

    load = functools.cache(load_predictor)
    return lambda cfg: _read(cfg, load)


def _read(
    cfg: "DictConfig", load: "Callable[..., Predictor] | None" = None
) -> "tuple[Predictor, np.ndarray]":
    """The run's model for the picture's shape, and the picture as it takes it."""
    from cnnlab.config import config_errors, granted, load_predictor
    from cnnlab.data.picture import read_picture

    load, trust = load or load_predictor, granted(cfg)
    predictor = load(cfg.run, cfg.checkpoint, trust=trust)
    with config_errors():
        picture = read_picture(
            cfg.image, predictor.form, size=cfg.size, invert=cfg.invert, white=cfg.white
        )
    if picture.shape != predictor.input_shape:
        predictor = load(cfg.run, cfg.checkpoint, input_shape=picture.shape, trust=trust)
    return predictor, picture


@cli(
    "predict",
    rehearsal=rehearsal,
    examples=("run=outputs/... image=shoe.png", "run=outputs/... image=a.jpg top=5"),
)
def main(cfg: "DictConfig") -> None:
    """Say what a picture is, converted as the run's data set needs, or an array in a .npy file."""
    from cnnlab.config import config_errors

    narrate()
    predictor, picture = _read(cfg)
    with config_errors():
        best = predictor.top(picture, cfg.top)
    for name, number in best:
        print(predictor.task.line(name, number))


if __name__ == "__main__":
    main()
