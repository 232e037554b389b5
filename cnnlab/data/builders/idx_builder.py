"""Common part of the builders that read IDX files (MNIST, Fashion-MNIST)."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from cnnlab.data import idx
from cnnlab.data.builders.published import KeyedExamples, PublishedBuilder


class IdxBuilder(PublishedBuilder, skip_registration=True):
    """28x28 grey images; `source` is a folder with the four IDX files, gzipped or not."""

    SHAPE = (28, 28, 1)
    COUNTS: ClassVar[dict[str, int] | None] = {"train": 60_000, "test": 10_000}

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, KeyedExamples]:
        return {
            split: self._generate_examples(
                split, Path(self.source or self._links(dl_manager, split))
            )
            for split in idx.FILES
        }

    def _links(self, dl_manager: tfds.download.DownloadManager, split: str) -> Path:
        """A folder of links, with the names of the IDX files, to what TFDS downloaded."""
        files = self._download(
            dl_manager, {stem: f"{self.URL}{stem}.gz" for stem in idx.FILES[split]}
        )
        folder = Path(dl_manager.download_dir) / f"{self.name}-{split}"
        folder.mkdir(parents=True, exist_ok=True)
        for stem, file in files.items():
            link = folder / f"{stem}.gz"
            link.unlink(missing_ok=True)
            link.symlink_to(file.resolve())
        return folder

    @classmethod
    def source_is(cls) -> str:
        return "a folder with the four IDX files (train-images-idx3-ubyte[.gz], ...)"

    @classmethod
    def is_source(cls, source: Path) -> bool:
        return idx.has_idx_files(source)

    @classmethod
    def read(
        cls, source: Path, split: str
    ) -> tuple[UInt8[np.ndarray, "n h w c"], dict[str, UInt8[np.ndarray, " n"]]]:
        count = cls.COUNTS[split] if cls.COUNTS else None
        images, labels = idx.read_split(
            source, split, num_classes=len(cls.LABELS["label"]), count=count
        )
        return images, {"label": labels}
