"""Common part of the builders that read IDX files (MNIST, Fashion-MNIST)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from cnnlab.data import idx
from cnnlab.data.fetch import Unavailable


class IdxBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of 28x28 grey images kept in IDX files, prepared without TensorFlow.

    The image feature is `Tensor(uint8)` stored as raw bytes: TFDS's `Image` would need TensorFlow
    to encode it. Subclasses say where to download the files and what the classes are called.

    `source` is a folder that holds the four IDX files, gzipped or not; without one the files are
    downloaded by TFDS from `URL`, checked against `checksums.tsv` beside the builder.
    """

    # The stock builders of these names are at 3.*: both can live in one data directory.
    VERSION = tfds.core.Version("4.0.0")
    URL: ClassVar[str]
    HOMEPAGE: ClassVar[str]
    DESCRIPTION: ClassVar[str]
    CITATION: ClassVar[str]
    CLASS_NAMES: ClassVar[tuple[str, ...]]
    COUNTS: ClassVar[dict[str, int] | None]
    # `data.fingerprint` of the examples as published, where it is known.
    PUBLISHED: ClassVar[str] = ""

    def __init__(self, *, source: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.source = source

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(
                        shape=(28, 28, 1), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
                    ),
                    "label": tfds.features.ClassLabel(names=list(self.CLASS_NAMES)),
                }
            ),
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            # Examples keep the order of the files, as everybody else's index into them does.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {
            split: self._generate_examples(split, self.source or self._download(dl_manager, split))
            for split in idx.FILES
        }

    def _download(self, dl_manager: tfds.download.DownloadManager, split: str) -> Path:
        """A folder of links, with the names of the IDX files, to what TFDS downloaded."""
        try:
            files = dl_manager.download({stem: f"{self.URL}{stem}.gz" for stem in idx.FILES[split]})
        except Exception as error:  # a refused connection, a wrong checksum, a full disk, ...
            raise Unavailable(" ".join(str(error).split())) from error
        folder = Path(dl_manager.download_dir) / f"{self.name}-{split}"
        folder.mkdir(parents=True, exist_ok=True)
        for stem, file in files.items():
            link = folder / f"{stem}.gz"
            link.unlink(missing_ok=True)
            link.symlink_to(Path(file).resolve())
        return folder

    def _generate_examples(
        self, split: str, folder: Path | str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        count = self.COUNTS[split] if self.COUNTS else None
        images, labels = idx.read_split(
            folder, split, num_classes=len(self.CLASS_NAMES), count=count
        )
        for position, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield position, {"image": image, "label": int(label)}
