"""Whole networks on translated images, before and after training."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from omegaconf import DictConfig

from cnnlab.data.augment import normalise
from cnnlab.lab.cells import Cells
from cnnlab.lab.study import Study
from experiments import _equivariance as layers

# Three networks of A 4.8 that differ in padding and head, and one without any stride.
POOLED = "backbone.plan=[16,M,32,M,32]"
STRIDE_1 = "backbone.plan=[8,8,8]"
CIRCULAR = "conv.padding_mode=circular"
NETWORKS = {
    "stride 1, circular, average": (STRIDE_1, CIRCULAR, "head.pool=avg"),
    "pooled, circular, average": (POOLED, CIRCULAR, "head.pool=avg"),
    "pooled, zeros, average": (POOLED, "conv.padding_mode=zeros", "head.pool=avg"),
    "pooled, zeros, flatten": (POOLED, "conv.padding_mode=zeros", "head.pool=flatten"),
}
STRIDES = {name: 1 if name.startswith("stride 1") else 4 for name in NETWORKS}


def study(name: str, cfg: DictConfig) -> Study:
    """The study of a network of `NETWORKS`."""
    return Study([
        f"data={cfg.dataset}", "backbone=vgg", "head=linear", "norm=batch", *NETWORKS[name],
        "optimizer=adam", f"optimizer.lr={cfg.lr}", "schedule=onecycle",
        f"steps={cfg.steps}", f"batch_size={cfg.batch_size}", f"limit_eval={cfg.images}",
    ])  # fmt: skip


class Runner:
    """A network's scores of the test images, moved; compiled once for all seeds."""

    def __init__(self, name: str, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.study = study(name, cfg)
        data = self.study.data
        memory = data.test.in_memory()
        self.images, self.label = np.asarray(memory.image), np.asarray(memory.label)

        @eqx.filter_jit
        def scores(model: Any, state: Any, images: jax.Array) -> jax.Array:
            model = eqx.nn.inference_mode(model)
            return model(normalise(images, data.mean, data.std), state)[0]

        self._scores = scores

    def moved(self, shift: int) -> np.ndarray:
        """The test images on a torus, moved along every axis."""
        axes = tuple(range(1, self.images.ndim - 1))
        return np.roll(self.images, (shift,) * len(axes), axes)

    def measure(self, seed: int) -> dict[str, Any]:
        """What `compare` says of the network of a seed, before and after training."""
        trained = self.study.train(seed)
        return {
            "before": self._compare(*self.study.initial(seed)),
            "after": self._compare(trained.model, trained.state),
        }

    def _compare(self, model: Any, state: Any) -> dict[str, list[float]]:
        images = [self.images, *(self.moved(t) for t in self.cfg.shifts)]
        scores = [np.asarray(self._scores(model, state, x)) for x in images]
        return compare(scores, self.label)


def compare(scores: Sequence[np.ndarray], label: np.ndarray) -> Mapping[str, list[float]]:
    """Scores `(n, k)` of images, and of the same ones moved, for every shift:

    - `accuracy`: shift 0 first.
    - `change`: the largest change of a score, relative to the largest score.
    - `same`: the share of images that keep their class.
    """
    first, *others = scores
    predicted = first.argmax(-1)
    return {
        "accuracy": [float((s.argmax(-1) == label).mean()) for s in scores],
        "change": [float(np.abs(s - first).max() / np.abs(first).max()) for s in others],
        "same": [float((s.argmax(-1) == predicted).mean()) for s in others],
    }


def collect(cfg: DictConfig, cells: Cells, maps: Sequence[str]) -> dict[str, Any]:
    """Layers with random weights, pooled maps of test images, then the networks.

    **Arguments:** `maps`, the layers of which it is kept where they err.
    """
    shifts, seeds = list(cfg.shifts), range(cfg.seed, cfg.seed + cfg.seeds)
    cases = layers.cases()
    tasks: dict[str, Any] = {
        f"{name}, seed {s}": lambda case=case, s=s: layers.layer_errors(case, shifts, s)
        for name, case in cases.items()
        for s in seeds
    }
    for name in maps:
        at = lambda case=cases[name]: layers.error_map(case, cfg.map_shift, cfg.seed)
        tasks[f"map, {name}"] = at
    tasks |= {f"global, seed {s}": lambda s=s: layers.global_errors(shifts, s) for s in seeds}
    tasks["peaks"] = layers.peaks
    runners: dict[str, Runner] = {}

    def runner(name: str) -> Runner:
        if name not in runners:  # the one before is done: its arrays may go
            runners.clear()
            runners[name] = Runner(name, cfg)
        return runners[name]

    def pooled() -> dict[str, Any]:
        one = runner(next(iter(NETWORKS)))
        data, images = one.study.data, one.images[: cfg.pool_images]
        images = normalise(images, data.mean, data.std)
        return layers.pooling_changes(images, shifts, cfg.pool_window, cfg.seed)

    tasks["pooled maps"] = pooled
    for name in NETWORKS:
        for s in seeds:
            tasks[f"{name}, seed {s}"] = lambda name=name, s=s: runner(name).measure(s)
    found = cells.all(tasks)
    of = lambda name: [found[f"{name}, seed {s}"] for s in seeds]
    facts = lambda case: {"kind": case.kind, "padding": case.padding, "stride": case.stride}
    return {
        "shifts": shifts,
        "map_shift": cfg.map_shift,
        "layers": {name: {**facts(case), "errors": of(name)} for name, case in cases.items()},
        "maps": {name: found[f"map, {name}"] for name in maps},
        "global": of("global"),
        "peaks": found["peaks"],
        "pooled": found["pooled maps"],
        "networks": {name: {"stride": STRIDES[name], "runs": of(name)} for name in NETWORKS},
    }
