"""What the devices of a step send each other, counted in the program that XLA compiled for it.

JAX_NUM_CPU_DEVICES=8 python tests/train/sent.py [runtime.shard_state=true ...]
"""

import math
import re
import sys
from collections import Counter

from cnnlab.config import build, compose
from cnnlab.train.step import make_train_step

NETWORK = [
    "runtime=shard", "optimizer=sgd", "data=fake", "data.shape=[28,28,1]", "data.train_size=2048",
    "backbone.plan=[16,M,32,M,64]", "batch_size=128",
]  # fmt: skip
_CALL = re.compile(
    r"= (\S+|\(.*?\)) (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)\("
)
_ARRAY = re.compile(r"\b[a-z]+(\d+)\[([\d,]*)\]")


def sent(program: str) -> Counter[str]:
    """Bytes of the results of each kind of collective operation."""
    found: Counter[str] = Counter()
    for results, kind in _CALL.findall(program):
        for bits, sizes in _ARRAY.findall(results):
            found[kind] += int(bits) // 8 * math.prod(map(int, filter(None, sizes.split(","))))
    return found


def main(overrides: list[str]) -> None:
    experiment = build(compose([*NETWORK, *overrides]))
    state, run, loader = experiment.initial_state(), experiment.runtime, experiment.train_loader
    step = make_train_step(experiment.optimizer)
    compiled = run.compile(step, experiment.prepare, loader.fetch, state)
    handle = run.spread(next(iter(loader.handles())))
    given = run.place(state), run.replicate(loader.resident), handle
    for kind, count in sent(compiled.lower(*given).compile().as_text()).items():
        print(f"{kind}: {count:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
