"""Pictures as sequences of their pixels."""

from pathlib import Path

import numpy as np

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset
from cnnlab.data.published import fashion_mnist
from cnnlab.data.splits import ArraySplit, Placement, Split


@checked
def fashion_sequence(
    *,
    permute: bool = False,
    val_fraction: float | int = 0.05,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Fashion-MNIST as sequences `(784, 1)` of its pixels, row by row (of MNIST: Le et al. 2015,
    arXiv:1504.00941).

    `permute=True` puts them into another order, the same in every example: what belongs together
    is then far apart.

    **Raises:** as `fashion_mnist`.
    """
    data = fashion_mnist(val_fraction=val_fraction, source=source, data_dir=data_dir)
    order = np.random.RandomState(0).permutation(784) if permute else np.arange(784)

    def unrolled(split: Split) -> Split:
        held = split.in_memory()
        pixels = held.image.reshape(len(held), -1, 1)[:, order]
        return ArraySplit(pixels, held.label, placement=placement, workers=workers)

    train, val, test = (unrolled(split) for split in (data.train, data.val, data.test))
    return Dataset.from_splits(
        "fashion_sequence",
        train,
        test,
        val=val,
        class_names=data.class_names,
        origin=data.origin,
        fingerprint=data.fingerprint,
    )
