"""The data sets that need no file: known values, the published set, determinism."""

import hashlib
import logging
import random
import types

import mnist1d.data as mnist1d_package
import numpy as np
import pytest

from cnnlab.data import digits, embedded, fake, mnist1d, quadratic, splits


@pytest.fixture(scope="module")
def generated():
    return embedded._generate_mnist1d(False)


@pytest.fixture
def generate_once(generated, monkeypatch):
    calls = []

    def give(shuffled):
        calls.append(shuffled)
        return generated

    monkeypatch.setattr(embedded, "_generate_mnist1d", give)
    return calls


def test_mnist1d_is_the_published_set(generated):
    """Projections of the published file (`mnist1d_data.pkl` of greydanus/mnist1d, 2020)."""
    made = generated
    assert made["x"].shape == (4000, 40) and made["x_test"].shape == (1000, 40)
    labels = np.concatenate([made["y"], made["y_test"]]).astype(np.uint8)
    assert hashlib.sha256(labels.tobytes()).hexdigest() == (
        "4f5f4160c519e3c47f9d3e196c161336fcd32126a9efffe4153d6e7c8b73f963"
    )
    draw = np.random.RandomState(0)
    along, across = draw.standard_normal(40), draw.standard_normal(4000)
    exact = {"rtol": 1e-12, "atol": 1e-12}
    first = [-0.3320056673693902, -0.4719103656557236, -0.778697076293495, -1.0097408265367047]
    np.testing.assert_allclose(made["x"][0, :4], first, **exact)
    last = [0.4472328851428726, 0.6598756470890784, 0.8777343497528006, 1.193151836835276]
    np.testing.assert_allclose(made["x_test"][-1, -4:], last, **exact)
    np.testing.assert_allclose(across @ made["x"] @ along, 711.2009277588177, rtol=1e-11)
    np.testing.assert_allclose(
        across[:1000] @ made["x_test"] @ along, 106.81140960649653, rtol=1e-11
    )
    np.testing.assert_allclose((made["x"] ** 2).sum(), 159248.2538653486, **exact)


def test_mnist1d(generated, generate_once):
    data = mnist1d(val_fraction=0.25)
    assert (len(data.train), len(data.val), len(data.test)) == (3000, 1000, 1000)
    assert data.input_shape == (40, 1) and data.num_classes == 10
    assert data.train.image.dtype == np.float32
    want = generated["x_test"].astype(np.float32)[..., None]
    np.testing.assert_array_equal(data.test.image, want)
    again = mnist1d(val_fraction=0.25)
    np.testing.assert_array_equal(again.train.image, data.train.image)
    assert generate_once == [False]  # the second came from the cache


def test_mnist1d_mends_a_damaged_cache(generate_once, tmp_path):
    mnist1d()
    (file,) = (tmp_path / "cache" / "cnnlab").iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    assert len(mnist1d(cache=False).train) == 3600
    assert len(mnist1d().train) == 3600
    assert generate_once == [False] * 3
    assert len(mnist1d().train) == 3600
    assert generate_once == [False] * 3


def test_mnist1d_without_a_cache_it_can_write(generate_once, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cnnlab"), "propagate", True)
    (tmp_path / "cache").write_text("in the way")
    assert len(mnist1d().train) == len(mnist1d().train) == 3600
    assert generate_once == [False] * 2
    assert "mnist1d: not kept in" in caplog.text


def test_resized():
    data = fake(shape=[6, 5, 3], size=[12, 4])
    assert data.input_shape == (12, 4, 3) and data.fit == "stretch"
    assert data.train.image.dtype == np.uint8
    assert digits(size=16).input_shape == (16, 16, 1) and digits().fit == "pad"
    with pytest.raises(ValueError, match=r"^size: expected a shape \(h, w, c\) to resize"):
        fake(shape=[6, 2], size=3)


def test_shuffled_mnist1d_permutes_positions(monkeypatch):
    arguments = mnist1d_package.get_dataset_args(as_dict=True) | {"num_samples": 60}
    monkeypatch.setattr(
        mnist1d_package, "get_dataset_args", lambda: types.SimpleNamespace(**arguments)
    )
    plain, mixed = (embedded._generate_mnist1d(shuffled)["x"] for shuffled in (False, True))
    order = [int(np.abs(plain - column[:, None]).max(0).argmin()) for column in mixed.T]
    assert sorted(order) == list(range(40)) and order != list(range(40))
    np.testing.assert_allclose(mixed, plain[:, order], atol=1e-12)


def test_mnist1d_leaves_the_global_streams_alone(monkeypatch):
    def make(arguments):
        np.random.seed(arguments.seed)
        random.seed(arguments.seed)
        return {"x": 0, "y": 0, "x_test": 0, "y_test": 0}

    monkeypatch.setattr(mnist1d_package, "make_dataset", make)
    np.random.seed(7)
    random.seed(7)
    want = np.random.random(), random.random()
    np.random.seed(7)
    random.seed(7)
    embedded._generate_mnist1d(False)
    assert (np.random.random(), random.random()) == want


def test_digits():
    data = digits(test_fraction=0.25, val_fraction=0.1)
    assert (len(data.train), len(data.val), len(data.test)) == (1213, 135, 449)
    assert data.input_shape == (8, 8, 1) and data.num_classes == 10
    assert data.train.image.dtype == np.uint8 and data.train.image.max() == 16
    # The first digit of the published file, a zero.
    row = digits(val_fraction=0).train.image[0, 1, :, 0]
    np.testing.assert_array_equal(row, [0, 0, 13, 15, 10, 15, 5, 0])


def test_quadratic_against_the_formula():
    data = quadratic(dimension=6, train_size=200, test_size=50, val_fraction=0)
    assert data.input_shape == (6, 1) and data.num_classes == 2 and len(data.val) == 0
    for split in (data.train, data.test):
        for x, label in zip(split.image, split.label, strict=True):
            value = sum(float(x[i, 0]) ** 2 * (1 if i < 3 else -1) for i in range(6))
            assert label == (1 if value > 0 else 0)
    assert abs(data.train.image.mean()) < 0.1 and abs(data.train.image.std() - 1) < 0.1
    assert 0.35 < data.train.label.mean() < 0.65
    same = quadratic(dimension=6, train_size=200, test_size=50, val_fraction=0)
    other = quadratic(dimension=6, train_size=200, test_size=50, val_fraction=0, seed=1)
    np.testing.assert_array_equal(same.train.image, data.train.image)
    assert not np.array_equal(other.train.image, data.train.image)
    assert not np.array_equal(data.train.image[:50], data.test.image)


@pytest.mark.parametrize("shape", [(12, 2), (6, 5, 3), (4, 3, 2, 1)])
def test_fake_is_learnable(shape):
    """A nearest-class-mean rule, of pooled features even, is right on the test split."""
    data = fake(shape=list(shape), num_classes=3, train_size=90, test_size=30)
    assert data.input_shape == shape and data.train.image.dtype == np.uint8
    assert set(data.test.label) == {0, 1, 2}
    for features in (
        lambda x: x.reshape(len(x), -1),
        lambda x: x.reshape(len(x), -1).mean(1)[:, None],
    ):
        known, asked = features(data.train.image / 255.0), features(data.test.image / 255.0)
        means = np.stack([known[data.train.label == k].mean(0) for k in range(3)])
        nearest = ((asked[:, None] - means) ** 2).sum(-1).argmin(1)
        assert (nearest == data.test.label).mean() > 0.9
    same = fake(shape=shape, num_classes=3, train_size=90, test_size=30)
    np.testing.assert_array_equal(same.train.image, data.train.image)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: quadratic(dimension=5), "dimension: expected an even integer >= 2, got 5"),
        (lambda: quadratic(test_size=0), "test_size: expected an integer >= 1, got 0"),
        (lambda: fake(shape=[3]), "shape: expected (*spatial, channels)"),
        (lambda: fake(shape=[3, 0]), "shape: expected (*spatial, channels)"),
        (lambda: fake(num_classes=1), "num_classes: expected an integer >= 2, got 1"),
        (lambda: fake(train_size=0), "train_size: expected an integer >= 1, got 0"),
        (lambda: digits(test_fraction=1.0), "test_fraction: expected a number between 0 and 1"),
        (lambda: fake(val_fraction=1.0), "val_fraction: expected a number from 0 to below 1"),
        (lambda: fake(val_fraction=-0.1), "val_fraction: expected a number from 0 to below 1"),
        (lambda: fake(train_size=3), "val_fraction: 0.1 of 3 training examples leaves 3 to train"),
    ],
)
def test_bad_arguments(make, says):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "argument", "count", "each"),
    [
        (lambda: fake(shape=(400, 400, 3)), "shape", 10, 12 * 480_000),
        (lambda: fake(train_size=2000), "train_size", 2000, 17 * 64),
        (lambda: fake(test_size=2000), "test_size", 2000, 17 * 64),
        (lambda: fake(size=100), "train_size", 512, 17 * 64 + 10_000),
        (lambda: quadratic(test_size=2000), "test_size", 2000, 28 * 64),
        (lambda: digits(size=40), "size", 1797, 1600),
    ],
)
def test_what_memory_cannot_hold_is_refused_before_it_is_made(
    make, argument, count, each, monkeypatch
):
    monkeypatch.setattr(splits, "memory", lambda: 2_000_000)
    monkeypatch.setattr(embedded, "ArraySplit", lambda *_, **__: pytest.fail("made"))
    counted = f"{count:,} take {count * each:,} bytes, {each:,} each"
    with pytest.raises(ValueError, match=rf"^{argument}: expected examples that fit .* {counted}$"):
        make()
