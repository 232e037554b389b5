"""Training: in memory (`fit`), and as runs that can be resumed (`Experiment`), by the same steps.

Read in this order to follow one batch: `step`, `parallel` (where it runs), `training` (one step
after the other), then `fit`, or for runs `settings`, `experiment`, `loop`, `metrics`, `checkpoint`,
`report`.
"""

from cnnlab.train.arrays import CheckpointError
from cnnlab.train.evaluate import Evaluation, Evaluator
from cnnlab.train.experiment import Experiment
from cnnlab.train.fit import Fitted, fit
from cnnlab.train.losses import cross_entropy
from cnnlab.train.parallel import Jit, Pmap, Runtime, Shard
from cnnlab.train.rundir import RunDirectory
from cnnlab.train.state import TrainState, init_state
from cnnlab.train.step import make_judge, make_prepare, make_train_step
from cnnlab.train.training import Callback, History, NonFiniteLoss, Trainer, Training

__all__ = [
    "Callback",
    "CheckpointError",
    "Evaluation",
    "Evaluator",
    "Experiment",
    "Fitted",
    "History",
    "Jit",
    "NonFiniteLoss",
    "Pmap",
    "RunDirectory",
    "Runtime",
    "Shard",
    "TrainState",
    "Trainer",
    "Training",
    "cross_entropy",
    "fit",
    "init_state",
    "make_judge",
    "make_prepare",
    "make_train_step",
]
