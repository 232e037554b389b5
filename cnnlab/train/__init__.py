"""Training: optimizers, state, step, runtimes, loop, checkpoints, metrics, reports.

Read in this order to follow one batch: `experiment`, `step`, `parallel`, `loop`, `metrics`,
`checkpoint`, `report`.
"""

from cnnlab.train.arrays import CheckpointError
from cnnlab.train.evaluate import Evaluation, Evaluator
from cnnlab.train.experiment import Experiment
from cnnlab.train.loop import NonFiniteLoss
from cnnlab.train.parallel import Jit, Pmap, Runtime, Shard
from cnnlab.train.rundir import RunDirectory
from cnnlab.train.state import TrainState, init_state
from cnnlab.train.step import make_judge, make_prepare, make_train_step

__all__ = [
    "CheckpointError",
    "Evaluation",
    "Evaluator",
    "Experiment",
    "Jit",
    "NonFiniteLoss",
    "Pmap",
    "RunDirectory",
    "Runtime",
    "Shard",
    "TrainState",
    "init_state",
    "make_judge",
    "make_prepare",
    "make_train_step",
]
