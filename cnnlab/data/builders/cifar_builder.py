"""Common part of the builders that read CIFAR's binary files."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from cnnlab.data import cifar
from cnnlab.data.builders.published import KeyedExamples, PublishedBuilder


class CifarBuilder(PublishedBuilder, skip_registration=True):
    """32x32 colour images; `source` is the published archive, or a folder with its files."""

    SHAPE = cifar.SHAPE
    HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
    CITATION = (
        "A. Krizhevsky. Learning multiple layers of features from tiny images. Technical report,"
        " University of Toronto, 2009."
    )
    FOLDER: ClassVar[str]
    FILES: ClassVar[dict[str, tuple[str, ...]]]
    # In the order of the bytes of a record.
    LABEL_BYTES: ClassVar[tuple[str, ...]] = ("label",)
    # KeyedExamples in each file.
    COUNTS: ClassVar[dict[str, int]]

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, KeyedExamples]:
        source = self.source or self._download(dl_manager, {"archive": self.URL})["archive"]
        return {split: self._generate_examples(split, Path(source)) for split in self.FILES}

    @classmethod
    def source_is(cls) -> str:
        archive = cls.URL.rpartition("/")[2]
        return f"the archive {archive}, or the folder {cls.FOLDER} that it unpacks to"

    @classmethod
    def is_source(cls, source: Path) -> bool:
        return cifar.is_source(source, cls.FOLDER, cls.FILES["test"][0])

    @classmethod
    def read(
        cls, source: Path, split: str
    ) -> tuple[UInt8[np.ndarray, "n h w c"], dict[str, UInt8[np.ndarray, " n"]]]:
        classes = [len(cls.LABELS[key]) for key in cls.LABEL_BYTES]
        images, labels = cifar.read_files(
            source, cls.FOLDER, cls.FILES[split], classes=classes, count=cls.COUNTS[split]
        )
        return images, dict(zip(cls.LABEL_BYTES, labels.T, strict=True))
