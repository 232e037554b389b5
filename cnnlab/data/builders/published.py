"""Common part of this project's builders: published files to ArrayRecord, without TensorFlow."""

import abc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from cnnlab.data.fetch import Unavailable, Way

KeyedExamples = Iterator[tuple[int, dict[str, np.ndarray | int]]]
"""Position and features of each example of a split."""


class PublishedBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of images of one size, with one or more class labels.

    The image feature is `Tensor(uint8)` stored as raw bytes: TFDS's `Image` would need TensorFlow
    to encode it. A subclass brings the constants below and its abstract methods.

    `source` is where the files are; without one they are downloaded by TFDS from `URL`, checked
    against `checksums.tsv` beside the builder.
    """

    # The stock builders of these names are at 3.*: both can live in one data directory.
    VERSION = tfds.core.Version("4.0.0")
    URL: ClassVar[str]
    HOMEPAGE: ClassVar[str]
    DESCRIPTION: ClassVar[str]
    CITATION: ClassVar[str]
    SHAPE: ClassVar[tuple[int, int, int]]
    # The names of the classes of each label; the first label is what is trained on.
    LABELS: ClassVar[dict[str, tuple[str, ...]]]
    # `data.fingerprint` of the examples as published, where it is known.
    PUBLISHED: ClassVar[str] = ""
    # What to do where no way to get the data works, before what helps with any set.
    ADVICE: ClassVar[str] = ""

    def __init__(self, *, source: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.source = source

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Tensor(
            shape=self.SHAPE, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
        )
        labels = {
            key: tfds.features.ClassLabel(names=list(names)) for key, names in self.LABELS.items()
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=tfds.features.FeaturesDict({"image": image, **labels}),
            supervised_keys=("image", next(iter(labels))),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            # Examples keep the order of the files, as everybody else's index into them does.
            disable_shuffling=True,
        )

    @classmethod
    def ways(cls) -> Sequence[Way]:
        """Ways of its own to get the files, tried in order before TFDS's download."""
        return ()

    @classmethod
    @abc.abstractmethod
    def source_is(cls) -> str:
        """What `source` has to be, in words."""

    @classmethod
    @abc.abstractmethod
    def is_source(cls, source: Path) -> bool:
        """Whether a path is what `source_is` says, before it is read."""

    @classmethod
    @abc.abstractmethod
    def read(
        cls, source: Path, split: str
    ) -> tuple[UInt8[np.ndarray, "n h w c"], dict[str, UInt8[np.ndarray, " n"]]]:
        """Images of a split, `"train"` or `"test"`, and their labels by key.

        **Raises:** `ValueError`: damaged files.
        """

    def _generate_examples(self, split: str, source: Path) -> KeyedExamples:
        images, labels = self.read(source, split)
        for position, image in enumerate(images):
            named = {key: int(column[position]) for key, column in labels.items()}
            yield position, {"image": image, **named}

    def _download(
        self, dl_manager: tfds.download.DownloadManager, urls: dict[str, str]
    ) -> dict[str, Path]:
        """What TFDS downloaded, by the keys of `urls`.

        **Raises:** `Unavailable`.
        """
        try:
            paths = dl_manager.download(urls)
            assert isinstance(paths, dict)  # as `urls` is
            return {key: Path(path) for key, path in paths.items()}
        except Exception as error:  # a refused connection, a wrong checksum, a full disk, ...
            raise Unavailable(" ".join(str(error).split())) from error
