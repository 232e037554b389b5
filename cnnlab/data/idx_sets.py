"""MNIST and Fashion-MNIST: found, fetched, prepared once by this project's builders, and read."""

from pathlib import Path

from cnnlab.data import fetch
from cnnlab.data.catalogue import read_published
from cnnlab.data.dataset import Dataset
from cnnlab.data.decode import Size
from cnnlab.data.idx import has_idx_files
from cnnlab.data.splits import Placement


def fashion_mnist(
    *,
    val_fraction: float | int = 0.1,
    size: Size | None = None,
    source: str | None = None,
    data_dir: str | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Fashion-MNIST (Xiao et al., 2017): 60,000 + 10,000 images `(28, 28, 1)` uint8, 10 classes.

    Taken from the first that works: what is prepared already in `data_dir`; the folder of the
    Debian package dataset-fashion-mnist; that package, fetched with `apt-get download` and
    unpacked into the user's cache; TFDS's own download. `source` is a folder with the four IDX
    files to prepare it from instead. `size`: a side or `(height, width)` that images are resized
    to.

    Raises `DataError` that lists the ways to get the data where none works, or names what is
    damaged, and `ValueError` where other examples than those in `source` are prepared already.
    """
    from cnnlab.data.builders.fashion_mnist import FashionMnist

    ways = [
        (f"the folder {fetch.DEBIAN_FOLDER}", fetch.debian_folder),
        ("apt-get download dataset-fashion-mnist", fetch.debian_package),
        (f"TFDS's download from {FashionMnist.URL}", fetch.reachable(FashionMnist.URL)),
    ]
    advice = (
        "connect to the network; or `sudo apt-get install dataset-fashion-mnist` (Debian, Ubuntu);"
        " or give a folder with the four IDX files, data.source=<folder>; or a folder where TFDS"
        " has prepared it, data.data_dir=<folder>"
    )
    return read_published(
        FashionMnist,
        ways,
        advice,
        source=_folder(source),
        data_dir=data_dir,
        val_fraction=val_fraction,
        size=size,
        placement=placement,
        workers=workers,
    )


def mnist(
    *,
    val_fraction: float | int = 0.1,
    size: Size | None = None,
    source: str | None = None,
    data_dir: str | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """MNIST (LeCun et al., 1998): 60,000 + 10,000 images `(28, 28, 1)` uint8, 10 classes.

    What is prepared already in `data_dir`, else from the IDX files in the folder `source`, else
    TFDS's own download. Raises `DataError` that lists these ways where none works, or names what
    is damaged.
    """
    from cnnlab.data.builders.mnist import Mnist

    ways = [(f"TFDS's download from {Mnist.URL}", fetch.reachable(Mnist.URL))]
    advice = (
        "connect to the network; or give a folder with the four IDX files, data.source=<folder>;"
        " or a folder where TFDS has prepared it, data.data_dir=<folder>"
    )
    return read_published(
        Mnist,
        ways,
        advice,
        source=_folder(source),
        data_dir=data_dir,
        val_fraction=val_fraction,
        size=size,
        placement=placement,
        workers=workers,
    )


def _folder(source: str | None) -> Path | None:
    """The folder that the user names."""
    if source is None:
        return None
    folder = Path(source).expanduser()
    if not has_idx_files(folder):
        raise ValueError(
            f"source: expected a folder with the four IDX files"
            f" (train-images-idx3-ubyte[.gz], ...), got {source}"
        )
    return folder
