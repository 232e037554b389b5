"""The most probable classes of a picture, by a trained run."""

from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:
    from omegaconf import DictConfig


@cli("predict", examples=("run=outputs/... image=shoe.png", "run=outputs/... image=a.jpg top=5"))
def main(cfg: "DictConfig") -> None:
    """Classify one picture, converted as the run's data set needs, or an array in a .npy file."""
    from cnnlab.config import load_predictor, refusing
    from cnnlab.data.picture import read_picture
    from experiments._print import narrate

    narrate()
    predictor = load_predictor(cfg.run, cfg.checkpoint)
    with refusing():
        picture = read_picture(
            cfg.image, predictor.form, size=cfg.size, invert=cfg.invert, white=cfg.white
        )
    if picture.shape != predictor.input_shape:
        predictor = load_predictor(cfg.run, cfg.checkpoint, input_shape=picture.shape)
    with refusing():
        best = predictor.top(picture, cfg.top)
    for name, probability in best:
        print(f"{probability:6.1%}  {name}")


if __name__ == "__main__":
    main()
