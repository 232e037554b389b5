"""Processes find each other, and learn of each other's end: over real connections, in threads."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe

import pytest

from cnnlab.train import links
from cnnlab.train.links import Links, meet


@pytest.fixture
def address():
    with socket.create_server(("localhost", 0)) as server:
        return "localhost", server.getsockname()[1]


def together(*calls):
    """What several calls at once give, or raise."""

    def outcome(arguments):
        try:
            return meet(*arguments)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def test_processes_that_meet_know_the_same(address):
    found = together(*[(i, 3, address, 60) for i in range(3)])
    assert [sorted(connections) for connections, _, _ in found] == [[1, 2], [0], [0]]
    assert len({(tuple(names), port) for _, names, port in found}) == 1
    assert len(found[0][1]) == 3
    for connections, _, _ in found:
        for connection in connections.values():
            connection.close()


def test_what_does_not_fit_together_is_refused_in_one_line(address):
    first, other, twice = together((0, 3, address, 1), (1, 2, address, 60), (1, 3, address, 60))
    assert first.startswith("processes: expected 3 within 1 s (runtime.timeout), without an answer")
    assert first.endswith(": 2")
    assert other == "processes: process 0 is one of 3, this one of 2"
    assert twice.startswith("coordinator: process 0 ended before")
    assert "\n" not in first + other + twice


def test_nobody_at_the_address_is_said(address):
    with pytest.raises(ValueError, match=r"^coordinator: process 0 did not answer at localhost:"):
        meet(1, 2, address, 0.05)
    taken = pytest.raises(ValueError, match=r"^coordinator: process 0 can't listen at localhost:")
    with socket.create_server(address), taken:
        meet(0, 2, address, 60)


class Star:
    """Three processes, as threads; what each was ended with."""

    def __init__(self):
        pairs = [Pipe() for _ in range(2)]
        own = [{1: pairs[0][0], 2: pairs[1][0]}, {0: pairs[0][1]}, {0: pairs[1][1]}]
        self.ended, self.connections = {}, own
        self.links = [
            Links(
                i, links, ["a, pid 5", "b, pid 6", "c, pid 7"], lambda line, i=i: self.end(i, line)
            )
            for i, links in enumerate(own)
        ]
        self.happened = threading.Semaphore(0)

    def end(self, index, line):
        self.ended[index] = line
        self.happened.release()

    def start(self, *indices):
        for index in indices:
            self.links[index].start()

    def wait(self, *indices):
        for _ in indices:
            assert self.happened.acquire(timeout=60)
        assert sorted(self.ended) == list(indices)
        assert len(set(self.ended.values())) == 1
        return self.ended[indices[0]]


def test_all_end_with_the_name_of_the_one_that_is_gone():
    star = Star()
    star.start(0, 1)
    star.connections[2][0].close()
    line = star.wait(0, 1)
    assert line == (
        "process 2 of 3 (c, pid 7) is gone; the same command goes on from the last checkpoint"
    )


def test_the_first_one_is_missed_too():
    star = Star()
    star.start(1, 2)
    for connection in star.connections[0].values():
        connection.close()
    assert star.wait(1, 2).startswith("process 0 of 3 (a, pid 5) is gone")


def test_one_that_fails_says_why_and_the_others_get_time_to_say_it_themselves(monkeypatch):
    monkeypatch.setattr(links, "GRACE", 0.0)
    star = Star()
    star.start(0, 1)
    star.links[2].fail("disk full")
    assert star.wait(0, 1) == "process 2 of 3 (c, pid 7) ended: disk full"


def test_one_that_is_silent_is_given_up(monkeypatch):
    monkeypatch.setattr(links, "BEAT", 0.02)
    monkeypatch.setattr(links, "SILENCE", 0.05)
    star = Star()
    star.start(0, 1)
    assert "process 2 of 3 (c, pid 7) was not heard of for 0.05 s" in star.wait(0, 1)


def test_one_that_is_done_is_not_missed():
    star = Star()
    star.start(0)
    for index in (1, 2):
        star.links[index].done()
        star.connections[index][0].close()
    star.links[0].join(60)
    assert not star.links[0].is_alive() and not star.ended
