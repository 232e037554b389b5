"""Builder of MNIST (LeCun, Cortes and Burges): 60,000 + 10,000 digits, 28x28x1 uint8."""

from typing import ClassVar

from cnnlab.data.builders.idx_builder import IdxBuilder


class Builder(IdxBuilder, skip_registration=True):
    """MNIST in ArrayRecord, prepared without TensorFlow."""

    URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
    HOMEPAGE = "http://yann.lecun.com/exdb/mnist/"
    DESCRIPTION = "The MNIST database of handwritten digits."
    CITATION = (
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document"
        " recognition. Proceedings of the IEEE, 86(11), 1998."
    )
    LABELS: ClassVar[dict[str, tuple[str, ...]]] = {"label": tuple("0123456789")}
