"""Augmentations against plain NumPy, example by example, in one, two and three dimensions."""

import functools
import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from cnnlab.data.augment import (
    AlternatingFlip,
    Crop,
    CutMix,
    Cutout,
    Flip,
    Mixup,
    RandomErasing,
    augment,
)
from cnnlab.data.batches import Batch

LINE, IMAGE, VOLUME = SHAPES = [(9, 2), (7, 6, 1), (4, 5, 3, 2)]
shapes = pytest.mark.parametrize("shape", SHAPES)
# Each augmentation is compiled once for each shape: many seeds, few shapes.
seeds = hypothesis.given(seed=st.integers(0, 2**31 - 1))


@functools.cache
def make_batch(shape, n=12, classes=4, first=0):
    """A prepared batch whose values are all different and never zero."""
    size = int(np.prod(shape))
    image = 1 + np.arange(n * size, dtype=np.float32).reshape(n, *shape)
    label = np.eye(classes, dtype=np.float32)[np.arange(n) % classes]
    index = np.arange(first, first + n, dtype=np.int32)
    return Batch(*jax.device_put((image, label, index)))


# Optimising takes longer than running these small examples.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@functools.cache
def compiled(one):
    return jax.jit(
        lambda batch, key, epoch: one(batch, key=key, epoch=epoch), compiler_options=QUICK
    )


def run(one, batch, seed, epoch=0):
    out = compiled(one)(batch, jr.key(seed), epoch)
    assert out.image.shape == batch.image.shape and out.image.dtype == jnp.float32
    np.testing.assert_array_equal(out.index, batch.index)
    return jax.tree.map(np.asarray, out)


def bounding_box(mask):
    """`[(low, high)]` of the true positions; fails unless they fill the box."""
    sides = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        places = np.flatnonzero(mask.any(others))
        sides.append((int(places[0]), int(places[-1]) + 1))
    assert mask[tuple(slice(*side) for side in sides)].all()
    assert mask.sum() == np.prod([high - low for low, high in sides])
    return sides


@pytest.mark.parametrize(
    ("shape", "padding", "mode"),
    [
        (LINE, 3, "reflect"),
        (IMAGE, 2, "zeros"),
        (IMAGE, 2, "reflect"),
        (IMAGE, 2, "edge"),
        (VOLUME, 1, "zeros"),
    ],
)
@seeds
def test_crop_gives_a_window_of_the_padded_image(shape, padding, mode, seed):
    batch = make_batch(shape)
    got = run(Crop(padding, mode), batch, seed).image
    numpy_mode = {"zeros": "constant"}.get(mode, mode)
    for image, crop in zip(np.asarray(batch.image), got, strict=True):
        padded = np.pad(image, [(padding, padding)] * (image.ndim - 1) + [(0, 0)], numpy_mode)
        windows = [
            padded[tuple(slice(o, o + n) for o, n in zip(offset, image.shape[:-1], strict=True))]
            for offset in itertools.product(range(2 * padding + 1), repeat=image.ndim - 1)
        ]
        assert any(np.array_equal(crop, window) for window in windows)


def test_crop_takes_every_window_equally_often():
    batch = make_batch((5, 4, 1), n=2000)
    got = run(Crop(1), batch, 0).image
    inner = got[:, 1:-1, 1:-1, 0] - np.asarray(batch.image)[:, 1:-1, 1:-1, 0]
    shifts, counts = np.unique(inner[:, 0, 0], return_counts=True)
    np.testing.assert_array_equal(shifts, sorted(4 * i + j for i in (-1, 0, 1) for j in (-1, 0, 1)))
    assert counts.min() > 170 and counts.max() < 280


@shapes
@seeds
def test_flip_mirrors_some(shape, seed):
    batch = make_batch(shape)
    image, got = np.asarray(batch.image), run(Flip(), batch, seed).image
    flipped = [bool((g == i[..., ::-1, :]).all()) for g, i in zip(got, image, strict=True)]
    for one, was, mirrored in zip(got, image, flipped, strict=True):
        np.testing.assert_array_equal(one, was[..., ::-1, :] if mirrored else was)


def test_flip_mirrors_half():
    batch = make_batch((2, 3, 1), n=1000)
    got = run(Flip(), batch, 0).image
    assert abs((got != np.asarray(batch.image)).any((1, 2, 3)).mean() - 0.5) < 0.06


def test_alternating_flip():
    batch = make_batch((4, 6, 1), n=200)
    image = np.asarray(batch.image)
    one = AlternatingFlip(seed=3)
    epochs = [run(one, batch, seed=epoch, epoch=epoch).image for epoch in range(4)]
    for now, then in itertools.pairwise(epochs):
        np.testing.assert_array_equal(now, then[..., ::-1, :])
    flipped = (epochs[0] != image).any((1, 2, 3))
    assert 70 < flipped.sum() < 130
    # The orientation belongs to the example, not to its place in a batch.
    order = np.random.RandomState(0).permutation(200)
    shuffled = Batch(*(x[order] for x in batch))
    np.testing.assert_array_equal(run(one, shuffled, 9, epoch=2).image, epochs[2][order])
    other = run(AlternatingFlip(seed=4), batch, 0).image
    assert not np.array_equal(other, epochs[0])


@pytest.mark.parametrize(("shape", "size"), [(LINE, 2), (IMAGE, 5), (VOLUME, 1)])
@seeds
def test_cutout_zeroes_a_box(shape, size, seed):
    batch = make_batch(shape)
    got = run(Cutout(size), batch, seed).image
    for image, cut in zip(np.asarray(batch.image), got, strict=True):
        gone = cut == 0
        assert (gone == gone[..., :1]).all()
        np.testing.assert_array_equal(cut[~gone], image[~gone])
        for (low, high), n in zip(bounding_box(gone[..., 0]), shape[:-1], strict=True):
            centres = [c for c in range(n) if max(c - size // 2, 0) == low]
            assert high in {min(c - size // 2 + size, n) for c in centres}


def test_cutout_reaches_every_position():
    batch = make_batch((5, 1), n=500)
    gone = run(Cutout(2), batch, 0).image[..., 0] == 0
    # Centres 0..4 cover {0}, {0,1}, .., {3,4}: only the last position is covered by one.
    np.testing.assert_allclose(gone.mean(0), [0.4, 0.4, 0.4, 0.4, 0.2], atol=0.08)


@pytest.mark.parametrize(
    ("shape", "area", "aspect", "fill"),
    [
        ((40, 1), (0.1, 0.1), (0.3, 3.3), "zeros"),
        ((20, 24, 2), (0.02, 0.33), (0.3, 3.3), "noise"),
        ((10, 12, 11, 1), (0.5, 1), (1, 2), "zeros"),
    ],
)
@seeds
def test_random_erasing_replaces_a_box(shape, area, aspect, fill, seed):
    batch = make_batch(shape)
    one = RandomErasing(probability=1, area=area, aspect=aspect, fill=fill)
    got = run(one, batch, seed).image
    spatial = shape[:-1]
    for image, out in zip(np.asarray(batch.image), got, strict=True):
        changed = out != image
        assert (changed == changed[..., :1]).all()
        assert (np.abs(out[changed]) < 6).all() if fill == "noise" else (out[changed] == 0).all()
        sides = [high - low for low, high in bounding_box(changed[..., 0])]
        cut = any(side == n for side, n in zip(sides, spatial, strict=True))
        smallest, largest = np.subtract(sides, 0.5), np.add(sides, 0.5)  # sides are rounded
        assert np.prod(smallest) <= area[1] * np.prod(spatial) * 1.0001
        assert cut or np.prod(largest) >= area[0] * np.prod(spatial) * 0.9999
        if len(sides) == 2 and not cut:
            assert largest[0] / smallest[1] >= aspect[0] and smallest[0] / largest[1] <= aspect[1]


def test_options_may_come_as_lists_from_a_config():
    assert RandomErasing(area=[0.02, 0.33], aspect=[0.3, 3.3]) == RandomErasing()
    assert hash(RandomErasing(area=[0.1, 0.2])) == hash(RandomErasing(area=(0.1, 0.2)))


def test_random_erasing_with_a_probability():
    batch = make_batch((10, 10, 1), n=1000)
    changed = run(RandomErasing(probability=0.25), batch, 0).image != np.asarray(batch.image)
    assert abs(changed.any((1, 2, 3)).mean() - 0.25) < 0.05
    never = run(RandomErasing(probability=0), batch, 0).image
    np.testing.assert_array_equal(never, batch.image)
    # Places are uniform: each position is erased about as often as the middle, or less.
    often = changed.any(-1).mean(0)
    assert often.min() > 0 and often[4:6, 4:6].mean() > often[0, 0]


@pytest.mark.parametrize(("shape", "alpha"), [(LINE, 0.2), (IMAGE, 1)])
@seeds
def test_mixup_is_one_convex_combination(shape, alpha, seed):
    batch = make_batch(shape)
    out = run(Mixup(alpha), batch, seed)
    image, label = np.asarray(batch.image), np.asarray(batch.label)
    lam = out.label[0, 0]
    assert 0 <= lam <= 1
    for i in range(len(image)):
        other = (i + 1) % len(image)
        np.testing.assert_allclose(
            out.image[i], lam * image[i] + (1 - lam) * image[other], rtol=1e-5
        )
        np.testing.assert_allclose(
            out.label[i], lam * label[i] + (1 - lam) * label[other], atol=1e-6
        )
    np.testing.assert_allclose(out.label.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize(("shape", "alpha"), [(LINE, 0.3), (IMAGE, 1), (VOLUME, 1)])
@seeds
def test_cutmix_weights_labels_by_the_pasted_area(shape, alpha, seed):
    batch = make_batch(shape)
    out = run(CutMix(alpha), batch, seed)
    image, label = np.asarray(batch.image), np.asarray(batch.label)
    masks = []
    for i in range(len(image)):
        other = (i + 1) % len(image)
        pasted = out.image[i] == image[other]
        np.testing.assert_array_equal(out.image[i], np.where(pasted, image[other], image[i]))
        masks.append(pasted[..., 0])
        assert (pasted == pasted[..., :1]).all()
        if pasted.any():
            bounding_box(pasted[..., 0])
        share = pasted[..., 0].mean()
        want = (1 - share) * label[i] + share * label[other]
        np.testing.assert_allclose(out.label[i], want, atol=1e-6)
    assert all((mask == masks[0]).all() for mask in masks)


def test_the_mixing_weight_follows_its_distribution():
    """Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)); drawn anew with each key."""
    batch = make_batch((3, 1), n=2, classes=2)
    one = jax.vmap(lambda key: Mixup(2.0)(batch, key=key, epoch=0).label[0, 0])
    lam = np.asarray(jax.jit(one, compiler_options=QUICK)(jr.split(jr.key(0), 2000)))
    assert abs(lam.mean() - 0.5) < 0.02 and abs(lam.var() - 1 / 20) < 0.01


EACH = [Crop(2), Flip(), AlternatingFlip(), Cutout(5), RandomErasing(0.5)]


@pytest.mark.parametrize("one", EACH, ids=lambda one: type(one).__name__)
def test_a_replica_draws_what_one_device_draws(one):
    """What happens to an example depends on its position in the split, not on its batch."""
    batch = make_batch(IMAGE, first=70)
    whole = run(one, batch, 5)
    order = np.random.RandomState(0).permutation(12)
    moved = run(one, Batch(*(x[order] for x in batch)), 5)
    np.testing.assert_array_equal(moved.image, whole.image[order])


@pytest.mark.parametrize("one", [*EACH[:2], *EACH[3:], Mixup(1), CutMix(1)], ids=str)
def test_pure_and_driven_by_the_key(one):
    batch = make_batch(IMAGE)
    first = run(one, batch, 1).image
    np.testing.assert_array_equal(run(one, batch, 1).image, first)
    assert any(not np.array_equal(run(one, batch, seed).image, first) for seed in (2, 3, 4))


def test_augment_gives_each_its_own_key():
    batch = make_batch((6, 6, 1), n=64)
    twice = augment([Flip(), Flip()], batch, key=jr.key(0), epoch=0).image
    assert not np.array_equal(twice, batch.image)  # one key for both would undo the first
    seen = []

    def spy(batch, *, key, epoch):
        seen.append((np.asarray(jr.key_data(key)).tolist(), epoch))
        return batch

    assert augment([spy, spy], batch, key=jr.key(0), epoch=7) is batch
    assert seen[0][0] != seen[1][0] and [epoch for _, epoch in seen] == [7, 7]
    assert augment([], batch, key=jr.key(0), epoch=0) is batch


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Crop(-1), "padding: expected an integer >= 0, got -1"),
        (lambda: Cutout(0), "size: expected an integer >= 1, got 0"),
        (lambda: Mixup(0), "alpha: expected a number > 0, got 0"),
        (lambda: CutMix(-1.0), "alpha: expected a number > 0, got -1.0"),
        (lambda: RandomErasing(1.5), "probability: expected 0 to 1, got 1.5"),
        (lambda: RandomErasing(area=[0.5, 0.2]), "area: expected two numbers 0 < low <= high"),
        (lambda: RandomErasing(area=[0.5, 1.2]), "area: expected two numbers 0 < low <= high"),
        (lambda: RandomErasing(aspect=[0, 2]), "aspect: expected two numbers 0 < low <= high"),
        (
            lambda: Crop(6, "reflect")(make_batch((9, 6, 1)), key=jr.key(0), epoch=0),
            "padding: expected less than the smallest side 6, got 6",
        ),
    ],
)
def test_bad_arguments(make, says):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)
