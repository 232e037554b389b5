"""A page about a data set: samples, classes, channels, sizes, duplicates."""

from typing import TYPE_CHECKING

from cnnlab.config import cli
from cnnlab.console import narrate

if TYPE_CHECKING:
    from omegaconf import DictConfig


@cli(
    "inspect",
    examples=(
        "data=folder data.root=photos data.size=64 augment=[random_resized_crop,randaugment]",
        "data=digits",
    ),
)
def main(cfg: "DictConfig") -> None:
    """Look at all examples and write one HTML page, with samples before and after augmentation."""
    from cnnlab.config import augmentations_of, folder_to_write, instantiate
    from cnnlab.data.inspection import inspect
    from cnnlab.files import write_atomically
    from cnnlab.lab.inspection import page, samples

    narrate()
    folder = folder_to_write(cfg)
    data = instantiate(cfg.data, key="data")
    of_batches, of_pictures = augmentations_of(cfg, data)
    found = inspect(data)
    figure = samples(
        data, of_batches, of_pictures, count=cfg.samples, draws=cfg.draws, seed=cfg.seed
    )
    path = folder / f"{data.name.replace('/', '-')}.html"
    write_atomically(path, page(data, found, figure, list(cfg.augment)).encode())
    sizes = " + ".join(f"{count:,} {split}" for split, count in found.examples.items())
    what = {"multilabel": "labels", "regression": "numbers"}.get(data.task, "classes")
    what = what.removesuffix("s") if data.num_classes == 1 else what
    print(f"{data.name}: {sizes} examples {list(data.input_shape)}, {data.num_classes} {what}")
    for line in found.warnings(data):
        print(f"note: {line}")
    print(path)


if __name__ == "__main__":
    main()
