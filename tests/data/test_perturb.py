"""Perturbations of single pictures, beside what they are by definition."""

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnnlab.data import ArraySplit, perturb
from cnnlab.data.perturb import (
    OPERATIONS,
    ColorJitter,
    Perturbed,
    RandAugment,
    RandomResizedCrop,
    operate,
    turn_hue,
)

RANDOM = np.random.RandomState(0)
COLOUR = Image.fromarray(RANDOM.randint(0, 256, (20, 33, 3)).astype(np.uint8))
GREY = COLOUR.convert("L")


def draws(count=200):
    return [perturb.Draw(seed) for seed in range(count)]


def test_a_random_part_has_the_share_and_the_aspect_asked_for():
    crop = RandomResizedCrop((0.2, 0.5), (0.5, 2.0))
    boxes = np.array([crop.box(400, 600, draw) for draw in draws()])
    top, left, height, width = boxes.T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= 400).all() and (left + width <= 600).all()
    share, aspect = height * width / (400 * 600), width / height
    assert 0.19 < share.min() < 0.23 and 0.45 < share.max() < 0.51
    assert 0.49 < aspect.min() < 0.6 and 1.7 < aspect.max() < 2.03
    assert abs(np.log(aspect).mean()) < 0.15  # as often wide as tall
    # A strip has no such part: the middle of it, of the nearest aspect.
    assert RandomResizedCrop().box(100, 10, draws(1)[0]) == (43, 0, 13, 10)
    assert RandomResizedCrop().box(1, 1, draws(1)[0]) == (0, 0, 1, 1)


def test_a_random_part_is_cut_out_and_resized():
    crop = RandomResizedCrop()
    for draw, again in zip(draws(5), draws(5), strict=True):
        top, left, height, width = crop.box(20, 33, again)
        cut = COLOUR.crop((left, top, left + width, top + height))
        wanted = np.asarray(cut.resize(COLOUR.size, Image.Resampling.BILINEAR)).astype(int)
        difference = np.abs(np.asarray(crop(COLOUR, draw)).astype(int) - wanted)
        assert difference[3:-3, 3:-3].max() <= 1  # at its edge it sees what is beyond


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_of_randaugment(name):
    """At magnitude 30 and 0, on colour and on grey."""
    for picture in (COLOUR, GREY):
        found = np.asarray(operate(picture, name, 30, 1)).astype(int)
        before = np.asarray(picture).astype(int)
        height, width = before.shape[:2]
        rows, columns = np.mgrid[:height, :width]
        if name == "identity":
            wanted = before
        elif name.startswith(("shear", "translate", "rotate")):
            y, x = rows + 0.5, columns + 0.5
            if name == "shear_x":
                x = x + 0.3 * y
            elif name == "shear_y":
                y = y + 0.3 * x
            elif name == "translate_x":
                x = x - int(150 / 331 * width)
            elif name == "translate_y":
                y = y - int(150 / 331 * height)
            else:
                turn, (cy, cx) = math.radians(30), (height / 2, width / 2)
                across, down = x - cx, y - cy
                x = cx + across * math.cos(turn) - down * math.sin(turn)
                y = cy + across * math.sin(turn) + down * math.cos(turn)
            x, y = np.floor(x).astype(int), np.floor(y).astype(int)
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            wanted = before[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
            wanted = np.where(inside.reshape(inside.shape + (1,) * (before.ndim - 2)), wanted, 0)
            assert (found != wanted).mean() < 0.01  # at ties
            continue
        elif name == "posterize":
            wanted = before & 0xF0
        elif name == "solarize":
            wanted = 255 - before
        elif name == "brightness":
            wanted = np.clip(np.floor(before * 1.9), 0, 255)
        elif name in ("autocontrast", "equalize"):
            wanted = np.asarray(getattr(ImageOps, name)(picture)).astype(int)
        else:
            wanted = np.asarray(getattr(ImageEnhance, name.title())(picture).enhance(1.9)).astype(
                int
            )
        assert np.abs(found - wanted).max() <= 1, picture.mode
        if name not in ("autocontrast", "equalize"):
            least = np.asarray(operate(picture, name, 0, -1))
            kept = before < 255 if name == "solarize" else slice(None)  # white is at its threshold
            np.testing.assert_array_equal(least[kept], before[kept])


def test_a_turn_of_the_hue():
    np.testing.assert_array_equal(np.asarray(turn_hue(GREY, 0.3)), np.asarray(GREY))
    red = Image.new("RGB", (2, 2), (255, 0, 0))
    third = np.asarray(turn_hue(red, 1 / 3))[0, 0].astype(int)
    assert np.abs(third - [0, 255, 0]).max() <= 3
    third = np.asarray(turn_hue(red, -1 / 3))[0, 0].astype(int)
    assert np.abs(third - [0, 0, 255]).max() <= 6


def test_colour_jitter_stays_within_its_bounds():
    flat = Image.new("RGB", (3, 3), (100, 100, 100))
    bright = [np.asarray(ColorJitter(0.5, 0, 0, 0)(flat, d))[0, 0, 0] for d in draws()]
    assert 50 <= min(bright) < 55 and 145 < max(bright) <= 150
    unchanged = ColorJitter(0, 0, 0, 0)(COLOUR, draws(1)[0])
    np.testing.assert_array_equal(np.asarray(unchanged), np.asarray(COLOUR))
    jitter = ColorJitter()
    changed = [np.asarray(jitter(COLOUR, draw)).tobytes() for draw in draws(10)]
    assert len(set(changed)) == 10
    assert jitter(GREY, draws(1)[0]).mode == "L"


def test_each_has_draws_of_its_own():
    seen = {
        Perturbed((RandAugment(),), seed, epoch).draw(position, place).below(2**31)
        for seed in range(3)
        for epoch in range(3)
        for position in range(3)
        for place in range(3)
    }
    assert len(seen) == 81
    # For ever the same: another draw would make old results unrepeatable.
    assert Perturbed((), 1, 2).draw(3, 4).below(1000) == FIRST


FIRST = 740


def test_examples_in_memory_are_perturbed_as_pictures():
    image = RANDOM.randint(0, 256, (5, 9, 8, 1)).astype(np.uint8)
    split = ArraySplit(image, np.arange(5))
    change = Perturbed((RandomResizedCrop(), RandAugment()), 0, 1)
    found, label = split.perturbed(np.array([3, 1]), change)
    np.testing.assert_array_equal(label, [3, 1])
    assert found.shape == (2, 9, 8, 1) and found.dtype == np.uint8
    picture = change(Image.fromarray(image[1, ..., 0]), 1)
    np.testing.assert_array_equal(found[1, ..., 0], np.asarray(picture))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RandomResizedCrop(area=(0, 1)), "^area: expected 0 < low <= high <= 1"),
        (lambda: RandomResizedCrop(aspect=(2, 1)), "^aspect: expected 0 < low <= high, got"),
        (lambda: ColorJitter(contrast=-1), "^contrast: expected a number >= 0, got -1"),
        (lambda: ColorJitter(hue=0.6), "^hue: expected a number from 0 to 0.5, got 0.6"),
        (lambda: RandAugment(operations=0), "^operations: expected an integer >= 1, got 0"),
        (lambda: RandAugment(magnitude=31), "^magnitude: expected an integer from 0 to 30"),
    ],
)
def test_arguments_that_make_no_sense(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_what_is_no_picture_is_not_perturbed():
    for shape, high, shown in (
        ((40, 1), 255, r"\[40, 1\] with white at 255"),
        ((8, 8, 1), 16, r"\[8, 8, 1\] with white at 16"),
        ((8, 8, 4), 255, r"\[8, 8, 4\]"),
        ((8, 8, 3), None, "white not known"),
    ):
        with pytest.raises(ValueError, match=f"^expected pictures .*{shown}"):
            RandAugment().check(shape, high)
    RandAugment().check((8, 8, 3), 255)
    assert perturb.ordered([RandAugment(), RandomResizedCrop()])[0] == RandomResizedCrop()
