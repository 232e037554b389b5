"""What process 0 knows, the others are told."""

import numpy as np
import pytest

from cnnlab.errors import CnnlabError, ConfigError, Interrupted
from cnnlab.train import processes
from cnnlab.train.arrays import packed, unpacked
from cnnlab.train.checkpoint import Checkpoints
from cnnlab.train.links import Links
from cnnlab.train.position import newest_of_first
from cnnlab.train.processes import Processes, broadcast


@pytest.fixture
def pair(monkeypatch):
    """Two processes, of which the second is called after the first: it hears what that one said."""
    said = []

    def relay(content):
        if content:
            said.append(content)
            return content
        return said.pop(0)

    monkeypatch.setattr(processes, "broadcast", relay)
    return Processes(0, 2), Processes(1, 2)


def refuse(error):
    def work():
        raise error

    return work


def test_the_first_tells_what_it_found(pair):
    first, second = pair
    never = refuse(AssertionError("not called"))
    for content in (b"", b"abc", bytes(range(256))):
        assert first.from_first(lambda content=content: content) == content
        assert second.from_first(never) == content
    assert Processes().from_first(lambda: b"alone") == b"alone"


@pytest.mark.parametrize("kind", [CnnlabError, ConfigError])
def test_what_the_first_refuses_all_refuse(pair, kind):
    for one in pair:
        with pytest.raises(kind, match=r"^output: no room$") as raised:
            one.from_first(refuse(kind("output: no room")))
        assert raised.type is kind


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (Interrupted("stopped at step 3"), 130, ["wait", "stopped at step 3"]),
        (ConfigError("output: no"), 2, ["output: no"]),
        (CnnlabError("the loss is nan"), 1, ["the loss is nan"]),
        (KeyError("x"), 1, ["KeyError: 'x'"]),
        (KeyboardInterrupt(), 130, [""]),
    ],
)
def test_a_run_that_fails_is_told_to_the_others(monkeypatch, error, status, said):
    """Where it was asked to stop, not before the first one has written its checkpoint."""
    links, heard = Links(1, {}, ["a", "b"]), []
    monkeypatch.setattr(links, "fail", heard.append)
    monkeypatch.setattr(processes, "broadcast", lambda content: heard.append("wait") or b"\2")
    run = Processes(1, 2, links)
    with run.together():
        pass
    assert links.status == 0
    with pytest.raises(type(error)), run.together():
        raise error
    assert (links.status, heard) == (status, said)


@pytest.mark.parametrize("size", [1, 2, 9, 16, 50])
def test_bytes_go_over_whole(monkeypatch, size):
    monkeypatch.setattr(processes, "_CHUNK", 16)
    content = bytes(range(size))
    assert broadcast(content) == content


def test_all_go_on_where_the_first_does(pair, tiny, uninterrupted):
    experiment, _ = uninterrupted
    kept = Checkpoints(
        experiment.directory.checkpoints, experiment.config, {}, run=experiment.directory.path.name
    )
    start = experiment.initial_state()
    (one, where), (other, there) = (newest_of_first(p, kept, start, 12) for p in pair)
    assert int(one.step) == int(other.step) == 12
    assert where == there and where.records > 0
    for a, b in zip(*(np_leaves(state) for state in (one, other)), strict=True):
        np.testing.assert_array_equal(a, b)


def np_leaves(state):
    import jax

    from cnnlab.train.arrays import state_arrays

    return jax.tree.leaves(state_arrays(state))


def test_arrays_are_unpacked_as_they_were():
    arrays = {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3).T, "b": np.uint32(7), "c": -0.0}
    found = unpacked(packed(arrays))
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)
