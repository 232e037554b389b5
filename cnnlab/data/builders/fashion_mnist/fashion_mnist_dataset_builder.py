"""Builder of Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 60,000 + 10,000, 28x28x1 uint8."""

from collections.abc import Sequence
from typing import ClassVar

from cnnlab.data import fetch
from cnnlab.data.builders.idx_builder import IdxBuilder
from cnnlab.data.fetch import Way


class Builder(IdxBuilder, skip_registration=True):
    """Fashion-MNIST in ArrayRecord, prepared without TensorFlow."""

    URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    HOMEPAGE = "https://github.com/zalandoresearch/fashion-mnist"
    DESCRIPTION = "Fashion-MNIST: Zalando's article images in ten classes."
    CITATION = (
        "H. Xiao, K. Rasul, R. Vollgraf. Fashion-MNIST: a novel image dataset for benchmarking"
        " machine learning algorithms. arXiv:1708.07747, 2017."
    )
    LABELS: ClassVar[dict[str, tuple[str, ...]]] = {
        "label": (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        )
    }
    PUBLISHED: ClassVar[str] = "79dc7d7d508b40fc"
    ADVICE: ClassVar[str] = "`sudo apt-get install dataset-fashion-mnist` (Debian, Ubuntu); or "

    @classmethod
    def ways(cls) -> Sequence[Way]:
        return [
            (f"the folder {fetch.DEBIAN_FOLDER}", fetch.debian_folder),
            ("apt-get download dataset-fashion-mnist", fetch.debian_package),
        ]
