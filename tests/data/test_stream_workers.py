"""Processes that read a stream: they end with their parent, not on the terminal's signals."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cnnlab

SCRIPT = """
import multiprocessing, os, signal, sys
import numpy as np
from cnnlab.data import fake, loader

if __name__ == "__main__":
    split = fake(shape=(4, 4, 1), train_size=64, val_fraction=0).train
    batches = loader(split, 8, seed=0, placement="stream", workers=1)
    handles = batches.handles()
    assert type(next(handles).image) is np.ndarray  # not in memory that outlives its processes
    [worker] = multiprocessing.active_children()
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(worker.pid, number)
    for _ in range(20):  # more than was read ahead
        next(handles)
    assert worker.is_alive()
    print(worker.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's pidfd_open")
def test_a_worker_ends_with_its_parent_and_not_on_ctrl_c(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(cnnlab.__file__).parents[1])}
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    line = parent.stdout.readline()
    assert line, parent.communicate()[1]
    worker = os.pidfd_open(int(line))
    parent.send_signal(signal.SIGKILL)
    ended, _, _ = select.select([worker], [], [], 60)
    if not ended:  # it would keep the pipes open for ever
        signal.pidfd_send_signal(worker, signal.SIGKILL)
    os.close(worker)
    assert parent.communicate()[1] == ""  # nor does anything of what is removed then
    assert ended
