"""Batches: the same ones from the device and from a stream, resumable, complete."""

import multiprocessing

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from cnnlab.data import ArraySplit, Batch, SourceSplit, epoch_order, loader, loaders
from cnnlab.data.perturb import RandAugment

N, SIZE = 37, 8


def make_split(n=N, **options):
    """The label and every pixel of an example tell its position."""
    label = np.arange(n)
    image = np.broadcast_to(label[:, None, None, None], (n, 3, 2, 1)).astype(np.uint8)
    return ArraySplit(image, label, **options)


class PlainSource:
    def __init__(self, split):
        self.split = split

    def __len__(self):
        return len(self.split)

    def __getitems__(self, positions):
        return [(self.split.image[p], int(self.split.label[p])) for p in positions]


def read(made, count, start=0):
    """`count` batches from step `start`, fetched in a jitted function as a training step does."""
    fetch = jax.jit(made.fetch)
    handles = made.handles(start)
    got = [jax.tree.map(np.asarray, fetch(made.resident, next(handles))) for _ in range(count)]
    handles.close()
    return got


def assert_same(got, want):
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@hypothesis.given(st.integers(1, 300), st.integers(0, 2**31), st.integers(0, 1000))
def test_epoch_order_is_a_permutation(n, seed, epoch):
    order = epoch_order(n, seed, epoch)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    np.testing.assert_array_equal(epoch_order(n, seed, epoch), order)


def test_perturbed_pictures_are_not_kept_on_the_device():
    split = make_split(n=20)
    assert type(loader(split, 4, seed=0, perturbations=[RandAugment()])) is loaders.StreamLoader
    with pytest.raises(ValueError, match=r"^placement: expected auto or stream, where RandAugment"):
        loader(split, 4, seed=0, placement="device", perturbations=[RandAugment()])


def test_epoch_order_depends_on_both():
    orders = {epoch_order(100, seed, epoch).tobytes() for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_epoch_order_is_fixed_for_ever():
    """Known values: another order would make old runs unrepeatable."""
    np.testing.assert_array_equal(epoch_order(8, 1, 2), [4, 6, 7, 3, 5, 0, 2, 1])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("placement", ["device", "stream"])
def test_parts_of_a_batch_are_the_batch(shuffle, placement):
    options = {"seed": 3, "shuffle": shuffle, "placement": placement, "workers": 0}
    parts = [loader(make_split(), SIZE, **options, part=(i, 4)) for i in range(4)]
    whole = loader(make_split(), SIZE, **options)
    assert {part.batch_size for part in parts} == {whole.batch_size}
    steps = whole.steps_per_epoch
    for got, *pieces in zip(read(whole, steps), *(read(p, steps) for p in parts), strict=True):
        assert {len(piece.index) for piece in pieces} == {SIZE // 4}
        for name, want in got._asdict().items():
            joined = np.concatenate([getattr(piece, name) for piece in pieces])
            np.testing.assert_array_equal(joined, want)


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"^batch_size: expected a multiple of 3 processes, got 8"):
        loader(make_split(), SIZE, seed=0, part=(0, 3))


def test_an_epoch_visits_each_example_once_and_drops_the_rest():
    made = loader(make_split(), SIZE, seed=3)
    assert made.steps_per_epoch == N // SIZE == 4
    got = read(made, 8)
    for epoch in range(2):
        index = np.concatenate([batch.index for batch in got[4 * epoch : 4 * epoch + 4]])
        np.testing.assert_array_equal(index, epoch_order(N, 3, epoch)[: 4 * SIZE])
    for batch in got:
        assert isinstance(batch, Batch) and batch.image.shape == (SIZE, 3, 2, 1)
        assert batch.image.dtype == np.uint8
        assert batch.label.dtype == batch.index.dtype == np.int32
        np.testing.assert_array_equal(batch.label, batch.index)
        np.testing.assert_array_equal(batch.image[:, 1, 1, 0], batch.index)


@pytest.mark.parametrize(("workers", "starts"), [(0, (0, 6)), (2, (2,))])
def test_stream_equals_device(workers, starts):
    """Over three epochs, from the start or resumed in the middle of an epoch."""
    split = make_split()
    source = SourceSplit(PlainSource(split), (3, 2, 1))
    device = loader(split, SIZE, seed=5, placement="device")
    stream = loader(source, SIZE, seed=5, placement="stream", workers=workers)
    assert (stream.steps_per_epoch, stream.resident) == (4, ())
    want = read(device, 12)
    for start in starts:
        assert_same(read(stream, 12 - start, start), want[start:])
    assert multiprocessing.active_children() == []


@hypothesis.given(st.integers(0, 40), st.integers(1, 5))
def test_resuming_at_any_step(start, count):
    made = loader(make_split(), SIZE, seed=0)
    assert_same(read(made, count, start), read(made, start + count)[start:])


@pytest.mark.parametrize("placement", ["device", "stream"])
@pytest.mark.parametrize("n", [16, 17, 3])
def test_evaluation_is_one_padded_pass(placement, n):
    made = loader(make_split(n), SIZE, seed=0, shuffle=False, placement=placement)
    fetch = jax.jit(made.fetch)
    got = [jax.tree.map(np.asarray, fetch(made.resident, h)) for h in made.handles()]
    assert len(got) == made.steps_per_epoch == -(-n // SIZE)
    assert all(batch.image.shape == (SIZE, 3, 2, 1) for batch in got)
    index = np.concatenate([batch.index for batch in got])
    np.testing.assert_array_equal(index, [*range(n), *[-1] * (-n % SIZE)])
    label = np.concatenate([batch.label for batch in got])
    np.testing.assert_array_equal(label[index >= 0], np.arange(n))
    assert list(made.handles(made.steps_per_epoch)) == []


def test_padding_is_the_same_in_both_placements():
    got = []
    for placement in ("device", "stream"):
        made = loader(make_split(5), SIZE, seed=0, shuffle=False, placement=placement)
        got.append(read(made, 1))
    assert_same(*got)


def test_an_abandoned_stream_ends_its_workers():
    made = loader(make_split(), SIZE, seed=1, placement="stream", workers=1)
    handles = made.handles()
    batch = next(handles)
    assert len(multiprocessing.active_children()) == 1
    del handles
    assert multiprocessing.active_children() == []
    # The batch does not live in memory that was shared with the worker.
    assert batch.image.flags.owndata


def test_placement_is_chosen_by_size_wish_and_argument(monkeypatch):
    split = make_split()
    kind = lambda *args, **kw: type(loader(*args, SIZE, seed=0, **kw))
    assert kind(split) is loaders.DeviceLoader
    assert kind(split, placement="stream") is loaders.StreamLoader
    wish = make_split(placement="stream", workers=3)
    assert kind(wish) is loaders.StreamLoader
    assert loader(wish, SIZE, seed=0).workers == 3
    assert loader(wish, SIZE, seed=0, workers=0).workers == 0
    assert kind(wish, placement="device") is loaders.DeviceLoader
    monkeypatch.setattr(loaders, "RESIDENT_BYTES", split.nbytes)
    assert kind(split) is loaders.StreamLoader


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"batch_size": 0}, "batch_size: expected an integer >= 1, got 0"),
        ({"batch_size": 38}, "batch_size: expected at most 37, the examples of the split, got 38"),
        ({"workers": -1, "placement": "stream"}, "workers: expected an integer >= 0, got -1"),
    ],
)
def test_bad_arguments(arguments, says):
    arguments = {"batch_size": SIZE, "seed": 0, **arguments}
    with pytest.raises(ValueError) as caught:
        loader(make_split(), **arguments)
    assert str(caught.value) == says
