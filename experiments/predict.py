"""The most probable classes of a picture, by a trained run."""

from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:
    from omegaconf import DictConfig


@cli("predict", examples=("run=outputs/... image=shoe.png", "run=outputs/... image=a.jpg top=5"))
def main(cfg: "DictConfig") -> None:
    """Classify one PNG or JPEG, resized and converted as the run's data set needs."""
    from cnnlab.config import load_predictor, refusing
    from cnnlab.data.picture import read_picture

    predictor = load_predictor(cfg.run, cfg.checkpoint)
    with refusing():
        picture = read_picture(
            cfg.image,
            predictor.input_shape,
            invert=cfg.invert,
            mean=float(predictor.mean.mean()),
            high=predictor.high,
        )
        best = predictor.top(picture, cfg.top)
    for name, probability in best:
        print(f"{probability:6.1%}  {name}")


if __name__ == "__main__":
    main()
