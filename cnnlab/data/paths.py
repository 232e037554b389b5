"""Where prepared data lies on this machine."""

import os
import shutil
from pathlib import Path


def tfds_dir(data_dir: str | None) -> Path:
    """The folder of prepared TFDS data sets: as given, else where TFDS itself keeps them."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def lift(made: Path, part: Path, *, remove: Path) -> None:
    """Move the files of the folder `made` into `part`, then delete the folder `remove`."""
    for file in made.iterdir():
        os.replace(file, part / file.name)
    shutil.rmtree(remove)
