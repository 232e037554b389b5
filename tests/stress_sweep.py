"""Two workers at one sweep, and kills: no run is lost, none is done twice. Not part of the suite.

python tests/stress_sweep.py runs=200 kills=20           # runs that only write files
python tests/stress_sweep.py runs=8 kills=4 train=true   # by experiments.train, a tiny network
"""

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from cnnlab.claims import Claim, Held

TINY = """
data=fake data.shape=[6,6,1] data.num_classes=4 data.train_size=96 data.test_size=40
backbone.plan=[4,M] batch_size=24 eval_batch_size=16 epochs=2 progress=false
""".split()  # noqa: SIM905
FAKE = "experiment"  # how a worker of this script is told from its driver


def work(folder: Path, runs: int) -> None:
    """What a sweep does: each run that is not complete, unless it is held; and again, until all
    are. A run says that it is at work, makes some steps, says that it is done."""
    while not all((folder / str(run) / "result.json").is_file() for run in range(runs)):
        for place in (folder / str(run) for run in range(runs)):
            place.mkdir(parents=True, exist_ok=True)
            if (place / "result.json").is_file():
                continue
            claim = Claim(place)
            try:
                claim.take()
            except Held:
                continue
            if not (place / "result.json").is_file():
                with (place / "log").open("a") as log:
                    for step in range(5):
                        print(os.getpid(), step, file=log, flush=True)
                        time.sleep(0.01)
                    print(os.getpid(), "done", file=log, flush=True)
                (place / "result.json").write_text("{}")
            claim.release()


def check(folder: Path, runs: int) -> None:
    """Each run is complete and was done once: who was at it before was killed in the middle."""
    for run in range(runs):
        lines = (folder / str(run) / "log").read_text().split("\n")[:-1]
        pieces = [list(of) for _, of in itertools.groupby(lines, key=lambda line: line.split()[0])]
        assert len({piece[0].split()[0] for piece in pieces}) == len(pieces), (run, "interleaved")
        done = sum(line.endswith("done") for line in lines)
        assert done == 1 or (done == 2 and len(pieces) == 2), (
            run,
            done,
        )  # killed before its result


def check_training(folder: Path, runs: int, said: str) -> None:
    results = list(folder.glob("outputs/train/*/result.json"))
    assert len(results) == runs, len(results)
    assert {json.loads(file.read_text())["seed"] for file in results} == set(range(runs))
    for file in results:
        steps = Counter(
            (r["kind"], r["step"])
            for r in map(json.loads, (file.parent / "metrics.jsonl").read_text().splitlines())
        )
        assert max(steps.values()) == 1, (file, steps)
    trained = re.findall(r"^(?<!again\n)test .*\nrun directory (\S+)$", said, flags=re.MULTILINE)
    assert max(Counter(trained).values()) == 1, Counter(trained)


def main(runs: int, kills: int, train: bool, seed: int = 0) -> None:
    folder, chance = Path(tempfile.mkdtemp(prefix="stress-sweep-")), random.Random(seed)
    command = [sys.executable, __file__, FAKE, str(folder), str(runs)]
    if train:
        command = [sys.executable, "-m", "experiments.train", "-m", *TINY, f"seed=range({runs})"]

    def start(number: int) -> subprocess.Popen:
        log = (folder / f"worker-{number}.log").open("ab")
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)

    workers, done, begun = [start(0), start(1)], 0, time.monotonic()
    while any(worker.poll() is None for worker in workers):
        time.sleep(chance.uniform(0.02, 0.3) if not train else chance.uniform(5, 20))
        i = chance.randrange(2)
        if done < kills and workers[i].poll() is None:
            workers[i].send_signal(signal.SIGKILL)
            workers[i].wait()
            workers[i] = start(i)
            done += 1
    assert [worker.returncode for worker in workers] == [0, 0]
    if train:
        said = "\n".join(file.read_text() for file in folder.glob("worker-*.log"))
        check_training(folder, runs, said)
    else:
        check(folder, runs)
    print(f"{runs} runs, {done} kills, {time.monotonic() - begun:.0f} s: none lost, none twice")


if __name__ == "__main__":
    if sys.argv[1:2] == [FAKE]:
        work(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        given = dict(word.split("=") for word in sys.argv[1:])
        main(int(given.get("runs", 200)), int(given.get("kills", 20)), "train" in given)
