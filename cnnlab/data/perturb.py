"""Augmentation of single pictures as they are read: by Pillow, before they become a batch.

What needs the picture at its own size (`RandomResizedCrop`) or changes its bytes in ways that would
be slow for a whole batch at once (`ColorJitter`, `RandAugment`). Everything random is a function of
the run's seed, the epoch, the example's position in its split and the place in the list; so that
however many processes read them, pictures are the same, and training resumes at any step.
"""

import abc
import dataclasses
import hashlib
import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from cnnlab.arguments import checked
from cnnlab.data.decode import resized, to_pixels

if TYPE_CHECKING:
    import PIL.Image

Box = tuple[int, int, int, int]
"""`(top, left, height, width)` of a part of a picture, in pixels."""

_TRIES = 10


class Draw:
    """Random numbers that some integers determine, for ever: those of Python's `random.random`,
    which every version repeats. Made in 10 microseconds; NumPy's take longer than some changes."""

    def __init__(self, *of: int) -> None:
        # Hashed: integers that differ in a word or two can give the Mersenne Twister one state.
        seed = hashlib.blake2b(repr([*map(int, of)]).encode(), digest_size=16).digest()
        self._next = random.Random(int.from_bytes(seed)).random

    def uniform(self, low: float | int, high: float | int) -> float:
        """A number from `low` to below `high`."""
        return low + (high - low) * self._next()

    def below(self, count: int) -> int:
        """A whole number from 0 to below `count`."""
        return int(count * self._next())

    def order(self, count: int) -> list[int]:
        """The numbers from 0 to below `count`, in random order."""
        keys = [self._next() for _ in range(count)]
        return sorted(range(count), key=keys.__getitem__)


class Perturbation(abc.ABC):
    """What configs of the group `augment` make that are applied to a picture as it is read."""

    def check(self, shape: tuple[int, ...], high: int | None) -> None:
        """Refuse examples `(*spatial, c)` with white at `high` that are no pictures of 8 bits.

        **Raises:** `ValueError`.
        """
        if len(shape) != 3 or shape[-1] not in (1, 3) or high != 255:
            white = "not known" if high is None else f"at {high}"
            raise ValueError(
                "expected pictures (h, w, c) with 1 or 3 channels and white at 255, got examples"
                f" {list(shape)} with white {white}"
            )

    @abc.abstractmethod
    def __call__(self, picture: "PIL.Image.Image", draw: Draw) -> "PIL.Image.Image":
        """The changed picture (`L` or `RGB`), of the same size and mode."""


@checked
@dataclasses.dataclass(frozen=True)
class RandomResizedCrop(Perturbation):
    """A random part of the picture, brought to the size of the examples (Szegedy et al., 2015).

    The part covers a share between `area`'s bounds of the picture; its width is its height times a
    factor between `aspect`'s bounds, drawn log-uniformly. Where none of ten draws lies within the
    picture, the largest part in its middle whose aspect is within the bounds is taken. Of a file
    it is a part of what the file holds, at full resolution; it comes before all others.
    """

    area: Sequence[float | int] = (0.08, 1.0)
    aspect: Sequence[float | int] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        for name, pair, most in (("area", self.area, 1.0), ("aspect", self.aspect, math.inf)):
            if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= most:
                raise ValueError(
                    f"{name}: expected 0 < low <= high{' <= 1' if most == 1 else ''}, got {pair}"
                )

    def box(self, height: int, width: int, draw: Draw) -> Box:
        """The part that is taken of a picture of that size."""
        low, high = math.log(self.aspect[0]), math.log(self.aspect[1])
        for _ in range(_TRIES):
            area = height * width * draw.uniform(self.area[0], self.area[1])
            aspect = math.exp(draw.uniform(low, high))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return draw.below(height - h + 1), draw.below(width - w + 1), h, w
        aspect = min(max(width / height, self.aspect[0]), self.aspect[1])
        h, w = min(height, round(width / aspect)), min(width, round(height * aspect))
        h, w = max(h, 1), max(w, 1)
        return (height - h) // 2, (width - w) // 2, h, w

    def __call__(self, picture: "PIL.Image.Image", draw: Draw) -> "PIL.Image.Image":
        box = self.box(picture.height, picture.width, draw)
        return resized(picture, (picture.height, picture.width), box)


@checked
@dataclasses.dataclass(frozen=True)
class ColorJitter(Perturbation):
    """Change brightness, contrast, saturation and hue by random amounts, in random order.

    The first three by a factor from `1 - x` to `1 + x` (0 at the least), the hue by a turn from
    `-hue` to `hue`, of which 1 is the whole circle; as torchvision's transform of this name. A
    picture with one channel has no saturation and no hue.
    """

    brightness: float | int = 0.4
    contrast: float | int = 0.4
    saturation: float | int = 0.4
    hue: float | int = 0.1

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected a number >= 0, got {getattr(self, name)}")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue: expected a number from 0 to 0.5, got {self.hue}")

    def __call__(self, picture: "PIL.Image.Image", draw: Draw) -> "PIL.Image.Image":
        from PIL import ImageEnhance

        kinds = (
            (self.brightness, ImageEnhance.Brightness),
            (self.contrast, ImageEnhance.Contrast),
            (self.saturation, ImageEnhance.Color),
        )
        for which in draw.order(4):
            if which == 3:
                turn = draw.uniform(-self.hue, self.hue)
                picture = turn_hue(picture, turn) if self.hue else picture
                continue
            amount, enhance = kinds[which]
            factor = draw.uniform(max(0.0, 1 - amount), 1 + amount)
            picture = enhance(picture).enhance(factor) if amount else picture
        return picture


def turn_hue(picture: "PIL.Image.Image", turn: float) -> "PIL.Image.Image":
    """A picture whose hues are moved by a share of the whole circle; grey ones have none."""
    from PIL import Image

    if picture.mode == "L":
        return picture
    hue, *others = picture.convert("HSV").split()
    moved = hue.point([(value + int(turn * 255)) % 256 for value in range(256)])
    return Image.merge("HSV", [moved, *others]).convert("RGB")


@checked
@dataclasses.dataclass(frozen=True)
class RandAugment(Perturbation):
    """Apply `operations` randomly chosen changes of one magnitude (Cubuk et al., 2020).

    Of identity, shear and translation along either axis, rotation, brightness, colour, contrast,
    sharpness, posterisation, solarisation, autocontrast and equalisation; with the ranges of
    torchvision, whose `magnitude` is likewise a whole number from 0 to 30. What comes in from
    outside is black.
    """

    operations: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        if self.operations < 1:
            raise ValueError(f"operations: expected an integer >= 1, got {self.operations}")
        if not 0 <= self.magnitude <= 30:
            raise ValueError(f"magnitude: expected an integer from 0 to 30, got {self.magnitude}")

    def __call__(self, picture: "PIL.Image.Image", draw: Draw) -> "PIL.Image.Image":
        for _ in range(self.operations):
            name = OPERATIONS[draw.below(len(OPERATIONS))]
            sign = 1 if draw.below(2) else -1
            picture = operate(picture, name, self.magnitude, sign)
        return picture


OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness"),
    *("color", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
"""What `RandAugment` chooses from."""

_ENHANCE = {
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
}


def operate(picture: "PIL.Image.Image", name: str, magnitude: int, sign: int) -> "PIL.Image.Image":
    """A picture after one of `OPERATIONS`, of a magnitude from 0 to 30, in the direction `sign`."""
    from PIL import Image, ImageEnhance, ImageOps

    share = sign * magnitude / 30
    moved = {
        "shear_x": (1.0, 0.3 * share, 0.0, 0.0, 1.0, 0.0),
        "shear_y": (1.0, 0.0, 0.0, 0.3 * share, 1.0, 0.0),
        "translate_x": (1.0, 0.0, -int(150 / 331 * picture.width * share), 0.0, 1.0, 0.0),
        "translate_y": (1.0, 0.0, 0.0, 0.0, 1.0, -int(150 / 331 * picture.height * share)),
    }
    if name in moved:
        return picture.transform(picture.size, Image.Transform.AFFINE, moved[name])
    if name == "rotate":
        return picture.rotate(30 * share)
    if name in _ENHANCE:
        return getattr(ImageEnhance, _ENHANCE[name])(picture).enhance(1 + 0.9 * share)
    if name == "posterize":
        return ImageOps.posterize(picture, 8 - round(magnitude / 7.5))
    if name == "solarize":
        return ImageOps.solarize(picture, math.ceil(255 * (1 - magnitude / 30)))
    if name == "autocontrast":
        return ImageOps.autocontrast(picture)
    return ImageOps.equalize(picture) if name == "equalize" else picture


@dataclasses.dataclass(frozen=True)
class Perturbed:
    """The perturbations of one epoch of a run: `(picture, position) -> picture`."""

    perturbations: tuple[Perturbation, ...]
    seed: int
    epoch: int

    @property
    def crop(self) -> RandomResizedCrop | None:
        """The random part that is taken of each picture, if there is one."""
        first = self.perturbations[0]
        return first if isinstance(first, RandomResizedCrop) else None

    def draw(self, position: int, place: int) -> Draw:
        """The random numbers of the perturbation at a place in the list, for one example."""
        return Draw(self.seed, self.epoch, position, place)

    def __call__(
        self, picture: "PIL.Image.Image", position: int, *, cropped: bool = False
    ) -> "PIL.Image.Image":
        """**Arguments:** `cropped`, whether `crop` has been done."""
        for place, perturbation in enumerate(self.perturbations):
            if not (cropped and place == 0):
                picture = perturbation(picture, self.draw(position, place))
        return picture

    def array(self, image: UInt8[np.ndarray, "h w c"], position: int) -> UInt8[np.ndarray, "h w c"]:
        """The same of an example in memory."""
        from PIL import Image

        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        return to_pixels(self(picture, position))


def ordered(perturbations: Sequence[Perturbation]) -> tuple[Perturbation, ...]:
    """The perturbations with `RandomResizedCrop` first, the others in their order."""
    return tuple(sorted(perturbations, key=lambda one: not isinstance(one, RandomResizedCrop)))
