"""Builder of CIFAR-10 (Krizhevsky, 2009): 50,000 + 10,000 photographs, 32x32x3 uint8."""

from typing import ClassVar

from cnnlab.data.builders.cifar_builder import CifarBuilder


class Builder(CifarBuilder, skip_registration=True):
    """CIFAR-10 in ArrayRecord, prepared without TensorFlow."""

    URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    DESCRIPTION = "CIFAR-10: small photographs of animals and vehicles in ten classes."
    FOLDER = "cifar-10-batches-bin"
    FILES: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test": ("test_batch.bin",),
    }
    COUNTS: ClassVar[dict[str, int]] = {"train": 10_000, "test": 10_000}
    LABELS: ClassVar[dict[str, tuple[str, ...]]] = {
        "label": (
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        )
    }
