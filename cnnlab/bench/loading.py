"""How many pictures a core reads and augments in a second: cnnlab's stream, and torchvision."""

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.bench.models.torch_networks import torchvision_module
from cnnlab.bench.timing import interleaved
from cnnlab.data import loader
from cnnlab.data.inventory import look_at
from cnnlab.data.perturb import ColorJitter, Perturbation, RandAugment, RandomResizedCrop
from cnnlab.data.pictures import PictureSource, PictureSplit, Reading

TRANSFORMS = ("random_resized_crop", "color_jitter", "randaugment")
"""What can be asked for; the crop is always done, as it makes pictures of one size."""

_OURS: dict[str, Perturbation] = dict(
    zip(TRANSFORMS, (RandomResizedCrop(), ColorJitter(), RandAugment()), strict=True)
)


def make_pictures(folder: Path, count: int, side: int, seed: int) -> list[str]:
    """Random parts of scikit-learn's two photographs as JPEG files; their paths.

    **Arguments:** `side`, the mean side of a part, as it is written; sides are from 3/5 to 7/5 of
    it.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(image) for image in load_sample_images()["images"]]
    random = np.random.RandomState(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        width, height = (int(side * random.uniform(0.6, 1.4)) for _ in range(2))
        across = int(random.uniform(0.5, 1) * photograph.width)
        down = min(across * height // width, photograph.height)
        left = random.randint(photograph.width - across + 1)
        top = random.randint(photograph.height - down + 1)
        part = photograph.resize((width, height), box=(left, top, left + across, top + down))
        paths.append(str(folder / f"{number}.jpg"))
        part.save(paths[-1], quality=90)
    return paths


def measure(
    paths: Sequence[str],
    *,
    transforms: Sequence[str],
    size: int,
    batch_size: int,
    peers: Sequence[str],
    rounds: int,
) -> dict[str, list[float]]:
    """Seconds of processor time, of all threads together, that each contender takes for each
    round's share of the pictures, in turns.

    **Arguments:** `transforms`, some of `TRANSFORMS`; `size`, the side of the pictures in a batch;
    `peers`, those with torchvision's transforms: of Pillow's pictures, of tensors.
    """
    shares = np.array_split(np.arange(len(paths)), rounds)
    contenders: dict[str, Callable[[np.ndarray], Iterator[Any]]] = {
        "cnnlab": _ours(paths, transforms, size, batch_size)
    }
    for peer in peers:
        contenders[f"torchvision, {peer}"] = _theirs(paths, transforms, size, batch_size, peer)

    def turn(batches: Callable[[np.ndarray], Iterator[Any]]) -> Callable[[], int]:
        left = iter([shares[0][:batch_size], *shares])  # the first warms up
        return lambda: sum(len(batch) for batch in batches(next(left)))

    turns: Mapping[str, Callable[[], int]] = {n: turn(b) for n, b in contenders.items()}
    with _one_core():
        return interleaved(turns, seconds=1e9, least=rounds, most=rounds, clock=time.process_time)


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Threads that begin in here share one core where the system can bind them to it: two that
    share a core's units would each take longer."""
    bind = getattr(os, "sched_setaffinity", None)
    if bind is None:
        yield
        return
    before = os.sched_getaffinity(0)
    bind(0, {min(before)})
    try:
        yield
    finally:
        bind(0, before)


def _ours(
    paths: Sequence[str], transforms: Sequence[str], size: int, batch_size: int
) -> Callable[[np.ndarray], Iterator[Any]]:
    reading = Reading((size, size), 3)
    looks = look_at(paths, root=os.path.dirname(paths[0]))
    source = PictureSource(paths, np.zeros(len(paths), int), looks, reading)
    split = PictureSplit(source, (size, size, 3))
    perturbations = [_OURS[name] for name in transforms]

    def batches(share: np.ndarray) -> Iterator[Any]:
        part = split.select(share)
        made = loader(part, batch_size, seed=0, shuffle=False, perturbations=perturbations)
        return (batch.image[: np.sum(batch.index >= 0)] for batch in made.handles())

    return batches


def _theirs(
    paths: Sequence[str], transforms: Sequence[str], size: int, batch_size: int, kind: str
) -> Callable[[np.ndarray], Iterator[Any]]:
    from PIL import Image

    torch: Any = importlib.import_module("torch")
    torchvision = torchvision_module("torchvision.transforms.v2")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = {
        "random_resized_crop": lambda: torchvision.RandomResizedCrop(size, antialias=True),
        "color_jitter": lambda: torchvision.ColorJitter(0.4, 0.4, 0.4, 0.1),
        "randaugment": torchvision.RandAugment,
    }
    steps = [made[name]() for name in transforms]
    steps.insert(0 if kind == "tensors" else len(steps), torchvision.ToImage())
    change = torchvision.Compose(steps)

    class Pictures(torch.utils.data.Dataset):
        def __init__(self, share: np.ndarray) -> None:
            self.paths = [paths[place] for place in share]

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, place: int) -> Any:
            with Image.open(self.paths[place]) as picture:
                return change(picture.convert("RGB"))

    return lambda share: iter(torch.utils.data.DataLoader(Pictures(share), batch_size=batch_size))
