"""Records of prepared TFDS data sets as random-access examples, without TensorFlow."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from cnnlab.data.decode import open_picture, resize, to_array
from cnnlab.data.prepared import check_shards, intact, prepared_builder, quiet_tfds
from cnnlab.data.splits import (
    NUMBERS,
    RESIDENT_BYTES,
    DataError,
    Placement,
    SourceSplit,
    Split,
    as_raw,
)

Decode = Callable[[Any, bytes], np.ndarray]
"""`(feature, whole record) -> image`. The types of TFDS's features and of protobuf's records are of
no use to a checker."""


class RecordSource:
    """Examples `(image, label)` of one split of a prepared TFDS data set; picklable.

    `image` is `(h, w, c)` uint8, float32 where the feature has more bits, or whatever a `Tensor`
    feature holds; resized to `size` when given. Opened at the first use, in each process for
    itself.

    **Raises:** `DataError` that names the folder where what it holds is damaged.
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

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": None}

    def __len__(self) -> int:
        return len(self._records()[0])

    def __getitems__(self, positions: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        records, example, decode, num_classes = self._records()
        out = []
        with intact(self.directory):
            for record in records.__getitems__(list(positions)):
                features = example.FromString(record).features.feature
                image = decode(features[self.image_key], record)
                label = features[self.label_key].int64_list.value[0]
                if not 0 <= label < num_classes:
                    raise DataError(
                        f"{self.directory}: expected labels from 0 to {num_classes - 1}, the split"
                        f" {self.split} has {label}"
                    )
                out.append((image, label))
        return out

    def _records(self) -> tuple[Any, Any, Decode, int]:
        if self._open is None:
            from tensorflow_datasets.core.decode import DeserializeMethod
            from tensorflow_datasets.proto import tf_example_pb2

            builder = prepared_builder(self.directory)
            features = builder.info.features
            decode = _decoder(features, self.image_key, self.size)
            with intact(self.directory), quiet_tfds():
                # Raw records: TFDS's own parsing takes five times as long, and its decoding of
                # images asks for OpenCV. Only the two features that are used are parsed here.
                records = builder.as_data_source(
                    self.split, deserialize_method=DeserializeMethod.RAW_BYTES
                )
                num_classes = features[self.label_key].num_classes
            # pyrefly: ignore[missing-attribute]: protobuf makes its classes when it is imported
            self._open = records, tf_example_pb2.Example, decode, num_classes
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
    """A split of a prepared data set: read into memory, unless it is large or to be streamed.

    **Arguments:** as `RecordSource` and `SourceSplit` take them.

    **Raises:** `DataError`: it is damaged. `ValueError`: features that are no images.
    """
    check_shards(directory, split)
    source = RecordSource(directory, split, image_key=image_key, label_key=label_key, size=size)
    image, _ = source.__getitems__([0])[0]
    found = SourceSplit(
        source, image.shape, dtype=image.dtype, placement=placement, workers=workers
    )
    if placement == "stream" or (placement == "auto" and found.nbytes >= RESIDENT_BYTES):
        return found
    return found.in_memory()


def white_of_feature(feature: Any) -> int | None:
    """The value of white of an image feature, where its dtype says it."""
    import tensorflow_datasets as tfds

    dtype = np.dtype(feature.np_dtype)
    if dtype == np.uint8:
        return 255
    return 65535 if dtype == np.uint16 and isinstance(feature, tfds.features.Image) else None


def _decoder(features: Any, image_key: str, size: tuple[int, int] | None) -> Decode:
    """How the image feature of a data set is decoded.

    **Raises:** `ValueError`: it can't be.
    """
    import tensorflow_datasets as tfds

    feature = features[image_key]
    if isinstance(feature, tfds.features.Image):
        decode_image = _image_decoder(feature, size)
        return lambda value, record: decode_image(value.bytes_list.value[0])
    dtype = np.dtype(feature.np_dtype)
    if not isinstance(feature, tfds.features.Tensor) or dtype.kind not in NUMBERS:
        raise ValueError(
            f"image_key: expected an image or a tensor of numbers, {image_key!r} is"
            f" {type(feature).__name__} of {dtype}"
        )
    if len(feature.shape) < 2 or (size is not None and len(feature.shape) != 3):
        expected = "(h, w, c), to be resized" if size is not None else "(*spatial, c)"
        raise ValueError(
            f"{'image_key' if size is None else 'size'}: expected images {expected},"
            f" {image_key!r} has {list(feature.shape)}"
        )
    encoding = getattr(feature, "_encoding", None)
    if encoding == tfds.features.Encoding.BYTES and None not in feature.shape and size is None:
        shape = feature.shape
        return lambda value, record: as_raw(
            np.frombuffer(value.bytes_list.value[0], dtype).reshape(shape)
        )

    def decode(value: Any, record: bytes) -> np.ndarray:
        del value
        image = as_raw(np.asarray(features.deserialize_example_np(record)[image_key]))
        return image if size is None else resize(image, size)

    return decode


def _image_decoder(
    feature: Any, size: tuple[int, int] | None
) -> Callable[[bytes], Shaped[np.ndarray, "h w c"]]:
    channels, dtype = feature.shape[-1], np.dtype(feature.np_dtype)
    white = white_of_feature(feature)
    if channels not in (1, 3, 4) or len(feature.shape) != 3 or (white != 255 and channels != 1):
        raise ValueError(
            "image_key: expected images with 1, 3 or 4 channels (1 where they have more than 8"
            f" bits), got {dtype} of shape {list(feature.shape)}"
        )

    def decode(content: bytes) -> np.ndarray:
        picture = open_picture(content, near=size)
        if white is None:  # TFDS keeps the four bytes of a float32 as the channels of a PNG
            image = to_array(picture, 4).view("<f4")
        else:
            image = to_array(picture, channels, high=white)
        found = (*picture.info["full"], image.shape[-1])
        if any(n not in (None, m) for n, m in zip(feature.shape, found, strict=True)):
            raise ValueError(f"an image of {found}, expected {feature.shape}")
        return image if size is None else resize(image, size)

    return decode
