"""A claim is one process's at a time; that of a dead one is taken over, by one."""

import contextlib
import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cnnlab import claims
from cnnlab.claims import STALE, Claim, Held, this_process


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def left(folder):
    return sorted(file.name for file in folder.iterdir())


def written(folder, number, said, age=0.0):
    """A claim of somebody else, whose last sign of life is `age` seconds old."""
    file = folder / f".claim-{number}"
    file.write_text(said if isinstance(said, str) else json.dumps(said))
    then = file.stat().st_mtime - age
    os.utime(file, (then, then))


ELSEWHERE = {"machine": "other boot ns", "process": 1, "begun": "5"}


def test_one_at_a_time(folder):
    first, second = Claim(folder), Claim(folder)
    first.take()
    with pytest.raises(Held, match=f": another process is at work there: {os.getpid()} on "):
        second.take()
    first.release()
    second.take()
    assert left(folder) == [".claim-2"]
    second.release()


def test_a_dead_process_of_this_machine_holds_nothing(folder):
    code = f"import sys; sys.path[:] = {sys.path}\nfrom pathlib import Path\n"
    code += f"from cnnlab.claims import Claim\nClaim(Path({str(folder)!r})).take()"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert json.loads((folder / ".claim-1").read_text())["process"] != os.getpid()
    Claim(folder).take()
    assert left(folder) == [".claim-2"]


def test_a_living_process_that_stands_still_holds_it(folder):
    written(folder, 1, vars(this_process()), age=10 * STALE)
    with pytest.raises(Held):
        Claim(folder).take()


def test_another_process_of_the_same_number_is_another(folder):
    written(folder, 1, {**vars(this_process()), "begun": "1"})
    Claim(folder).take()
    assert left(folder) == [".claim-2"]


@pytest.mark.parametrize(
    "said",
    [ELSEWHERE, "", '{"machi', "[1]", {**ELSEWHERE, "process": "1"}, {"released": False}],
    ids=str,
)
def test_one_of_elsewhere_shows_signs_of_life(folder, said):
    written(folder, 3, said, age=STALE - 5)
    with pytest.raises(Held, match="another process is at work"):
        Claim(folder).take()
    written(folder, 3, said, age=STALE + 5)
    Claim(folder).take()
    assert left(folder) == [".claim-4"]


def test_signs_of_life(folder, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.001)
    seen = threading.Event()
    monkeypatch.setattr(claims.os, "utime", lambda file: seen.set())
    Claim(folder).take()
    assert seen.wait(10)


def test_who_was_thought_dead_is_told(folder, monkeypatch):
    claim = Claim(folder)
    claim.take()
    claim.check()
    written(folder, 2, ELSEWHERE)
    ended = iter([False, True])
    monkeypatch.setattr(claim._let_go, "wait", lambda _: next(ended))
    claim._beat()
    with pytest.raises(Held, match="took this over"):
        claim.check()
    claim.release()
    with pytest.raises(Held):
        Claim(folder).take()


def test_an_old_listing_takes_nothing_from_a_newer_owner(folder, monkeypatch):
    """One saw a dead claim and stood still; meanwhile others came and went."""
    late = Claim(folder)
    newest, listings = late._newest, iter([1])
    written(folder, 1, ELSEWHERE, age=2 * STALE)
    written(folder, 3, ELSEWHERE)
    monkeypatch.setattr(late, "_newest", lambda: next(listings, None) or newest())
    with pytest.raises(Held):
        late.take()
    assert left(folder) == [".claim-1", ".claim-3"]


def test_a_folder_that_was_removed_stays_so(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    claim = Claim(folder)
    claim.take()
    shutil.rmtree(folder)
    assert claim.free()
    claim.check()
    claim.release()
    assert not folder.exists()


def test_a_folder_that_was_made_anew_is_its_owners(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    claim = Claim(folder)
    claim.take()
    shutil.rmtree(folder)
    folder.mkdir()
    written(folder, 1, ELSEWHERE)
    claim.release()
    assert not claim.free()


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def only_reads(path, mode="r", *rest, opened=Path.open, **options):
    return opened(path, mode, *rest, **options) if mode in ("r", "rb") else full()


def test_a_full_disk_does_not_keep_a_claim_and_does_not_hide_what_ended_the_work(
    folder, monkeypatch
):
    claim = Claim(folder)
    with pytest.raises(KeyError, match="the reason"), contextlib.ExitStack() as stack:
        claim.take()
        stack.callback(claim.release)
        monkeypatch.setattr(Path, "open", only_reads)
        raise KeyError("the reason")
    monkeypatch.undo()
    assert claim.free()
    Claim(folder).take()


def test_what_can_not_be_released_hides_nothing(folder, monkeypatch):
    claim = Claim(folder)
    claim.take()
    monkeypatch.setattr(claims.os, "truncate", full)
    with pytest.raises(ValueError, match="why it ended"):
        try:
            raise ValueError("why it ended")
        finally:
            claim.release()


def test_a_claim_that_a_full_disk_cuts_off_is_nobodys(folder, monkeypatch):
    monkeypatch.setattr(Path, "open", only_reads)
    with pytest.raises(OSError, match="No space left"):
        Claim(folder).take()
    monkeypatch.undo()
    assert Claim(folder).free()
    Claim(folder).take()
    assert left(folder) == [".claim-2"]


def _count(folder, start, rounds):
    """Add one to a number in a file, so often; a claim makes each of that whole."""
    start.wait()
    for _ in range(rounds):
        claim = Claim(folder)
        while True:
            try:
                claim.take()
                break
            except Held:
                pass
        number = folder / "number"
        found = int(number.read_text())
        number.write_text(str(found + 1))
        claim.release()


def test_several_processes_at_once(folder):
    (folder / "number").write_text("0")
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    processes = [context.Process(target=_count, args=(folder, start, 20)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    assert (folder / "number").read_text() == "60"
