"""Prepared TFDS data sets as random-access sources, without TensorFlow."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.dataset import RESIDENT_BYTES, Placement, SourceSplit, Split


class RecordSource:
    """Examples `(image, label)` of one split of a prepared TFDS data set; picklable.

    `image` is `(h, w, c)` uint8 (or whatever a `Tensor` feature holds), resized to `size` when
    given. Opened at the first use, in each process for itself.
    """

    def __init__(
        self,
        directory: Path | str,
        split: str,
        *,
        image_key: str = "image",
        label_key: str = "label",
        size: tuple[int, int] | None = None,
    ):
        self.directory = str(directory)
        self.split = split
        self.image_key = image_key
        self.label_key = label_key
        self.size = size
        self._open: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    def __len__(self) -> int:
        return len(self._records()[0])

    def __getitems__(self, positions: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        records, example, decode = self._records()
        out = []
        for record in records.__getitems__(list(positions)):
            features = example.FromString(record).features.feature
            image = decode(features[self.image_key], record)
            out.append((image, features[self.label_key].int64_list.value[0]))
        return out

    def _records(self) -> tuple[Any, Any, Any]:
        if self._open is None:
            import tensorflow_datasets as tfds
            from tensorflow_datasets.core.decode import DeserializeMethod
            from tensorflow_datasets.proto import tf_example_pb2

            with quiet_tfds():
                builder = tfds.builder_from_directory(self.directory)
                # Raw records: TFDS's own parsing takes five times as long, and its decoding of
                # images asks for OpenCV. Only the two features that are used are parsed here.
                records = builder.as_data_source(
                    self.split, deserialize_method=DeserializeMethod.RAW_BYTES
                )
            decode = _decoder(builder.info.features, self.image_key, self.size)
            self._open = records, tf_example_pb2.Example, decode
        return self._open


def open_split(
    directory: Path | str,
    split: str,
    *,
    image_key: str = "image",
    label_key: str = "label",
    size: tuple[int, int] | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Split:
    """A split of a prepared data set: read into memory, unless it is large or to be streamed."""
    source = RecordSource(directory, split, image_key=image_key, label_key=label_key, size=size)
    image, _ = source.__getitems__([0])[0]
    found = SourceSplit(
        source, image.shape, dtype=image.dtype, placement=placement, workers=workers
    )
    if placement == "stream" or (placement == "auto" and found.nbytes >= RESIDENT_BYTES):
        return found
    return found.in_memory()


def _decoder(features: Any, image_key: str, size: tuple[int, int] | None) -> Any:
    """A function `(feature, record) -> array` for the image feature of a data set."""
    import tensorflow_datasets as tfds

    feature = features[image_key]
    if isinstance(feature, tfds.features.Image):
        channels = feature.shape[-1]
        return lambda value, record: _decode_image(value.bytes_list.value[0], channels, size)
    encoding = getattr(feature, "_encoding", None)
    if encoding == tfds.features.Encoding.BYTES and None not in feature.shape and size is None:
        shape, dtype = feature.shape, np.dtype(feature.np_dtype)
        return lambda value, record: np.frombuffer(value.bytes_list.value[0], dtype).reshape(shape)

    def decode(value: Any, record: bytes) -> np.ndarray:
        del value
        image = np.asarray(features.deserialize_example_np(record)[image_key])
        return image if size is None else _resize(image, size)

    return decode


def _decode_image(content: bytes, channels: int, size: tuple[int, int] | None) -> np.ndarray:
    """A PNG or JPEG as `(h, w, channels)` uint8."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        image = image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
        if size is not None and image.size != size[::-1]:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        array = np.asarray(image)
    return array[..., None] if channels == 1 else array


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    planes = [
        np.asarray(Image.fromarray(image[..., c]).resize(size[::-1], Image.Resampling.BILINEAR))
        for c in range(image.shape[-1])
    ]
    return np.stack(planes, axis=-1)


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """TFDS without its progress bars, prints and remarks; cnnlab logs what matters itself."""
    import tensorflow_datasets as tfds

    logger = logging.getLogger("absl")
    level = logger.level
    tfds.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def prepared_folder(root: Path, name: str, config: str | None = None) -> Path | None:
    """The folder `<root>/<name>[/<config>]/<version>` of the newest prepared version, or None."""
    base = root / name / config if config else root / name
    if not base.is_dir():
        return None
    versions = [
        (tuple(int(part) for part in folder.name.split(".")), folder)
        for folder in base.iterdir()
        if folder.name.count(".") == 2
        and folder.name.replace(".", "").isdigit()
        and (folder / "dataset_info.json").is_file()
        and (folder / "features.json").is_file()
    ]
    return max(versions)[1] if versions else None


def readable(folder: Path) -> bool:
    """Whether a prepared data set is in a format with random access (ArrayRecord)."""
    return any(".array_record" in file.name for file in folder.iterdir())
