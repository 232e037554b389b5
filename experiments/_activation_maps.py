"""Where the network of the question `activation_maps` comes from, and its maps."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from omegaconf import DictConfig

from cnnlab import nn
from cnnlab.analysis import activations
from cnnlab.config import ConfigError, load_run
from cnnlab.data import Dataset
from cnnlab.data.augment import normalise
from cnnlab.lab.study import Study
from cnnlab.models import Classifier


class Network(NamedTuple):
    """A trained network, its data, and in words where it comes from."""

    model: Classifier
    state: eqx.nn.State
    data: Dataset
    about: str


def network(cfg: DictConfig) -> Network:
    """The network of a run directory, or a small one trained now.

    **Raises:** `ConfigError` where the run's network has no maps.
    """
    if cfg.run is None:
        plan = ",".join(map(str, cfg.plan))
        study = Study([
            f"data={cfg.dataset}", "backbone=vgg", f"backbone.plan=[{plan}]",
            "norm=batch", "head=linear", "optimizer=adam", "optimizer.lr=0.003",
            "schedule=onecycle", f"steps={cfg.steps}", f"batch_size={cfg.batch_size}",
        ])  # fmt: skip
        trained = study.train(cfg.seed)
        accuracy = study.evaluate(trained).accuracy
        about = f"{cfg.steps} steps on {study.data.name}, test accuracy {100 * accuracy:.1f} %"
        return Network(trained.model, trained.state, study.data, about)
    experiment = load_run(cfg.run, checkpoint=cfg.checkpoint, **cfg.data)
    backbone = experiment.model.backbone
    if len(backbone.out_shape) < 2 or not isinstance(backbone.stages[0], nn.ConvBlock):
        raise ConfigError(
            f"run: expected a network with convolutions, got {type(backbone).__name__}"
        )
    model, state, step = experiment.trained(cfg.checkpoint)
    name = experiment.config["name"]
    return Network(model, state, experiment.data, f"run {name}, step {step}")


def collect(cfg: DictConfig) -> dict[str, Any]:
    """Maps of the chosen images, filters, and how far the maps are from what they should be."""
    model, state, data, about = network(cfg)
    positions = chosen(data, cfg.images)
    raw, label = data.test.take(positions)
    xs = normalise(raw, data.mean, data.std)
    maps = activations.activation_maps(model, state, xs)
    layer = activations.first_layer(model)
    is_conv = isinstance(layer, nn.Conv)
    background = normalise(np.zeros(raw.shape[-1], raw.dtype), data.mean, data.std)
    layout: list[list[float]] = []
    if is_conv:  # a locally connected layer takes no other size
        layout = [
            activations.layout_errors(model, state, x, background, steps)
            for x in xs
            for steps in cfg.steps_moved
        ]
    found = activations.stage_fields(model, data.input_shape, state)
    return {
        "about": about,
        "rank": raw.ndim - 2,
        "images": np.asarray(raw, np.float64).round(3).tolist(),
        "white": data.high or float(np.abs(raw).max()),
        "labels": [data.class_names[i] for i in label],
        "first": _first(layer, xs, maps.first, cfg) if is_conv else None,
        "filters_compared": activations.template_errors(layer, seed=cfg.seed)
        if is_conv
        else [0, 0],
        "layout": layout,
        "stages": [
            {
                "name": field.path.split(".")[0],
                "shape": list(stage.shape[1:]),
                "stride": field.stride[0],
                "field": field.size[0],
                "zeros": float((stage == 0).mean()),
                **strongest(stage, cfg.channels),
            }
            for field, stage in zip(found, maps.stages, strict=True)
        ],
    }


def chosen(data: Dataset, count: int) -> np.ndarray:
    """Positions in the test split: the first example of each of the first `count` classes."""
    _, label = data.test.take(np.arange(len(data.test)))
    firsts = [np.flatnonzero(label == k)[:1] for k in range(data.num_classes)]
    return np.concatenate(firsts)[:count]


def _first(layer: nn.Conv, xs: jnp.ndarray, first: jnp.ndarray, cfg: DictConfig) -> dict[str, Any]:
    """The first layer's filters and maps, and the maps' distance from correlations."""
    expected = np.stack([activations.correlation_maps(layer, x) for x in xs])
    scale = np.abs(expected).max((0, *range(1, expected.ndim - 1)))
    error = np.abs(np.asarray(first) - expected).max((0, *range(1, expected.ndim - 1)))
    weight = np.asarray(layer.weight)[..., : cfg.filters]
    return {
        "errors": (error / np.maximum(scale, np.finfo(np.float32).tiny)).tolist(),
        "filters": np.moveaxis(weight, -1, 0).round(4).tolist(),
        "maps": np.asarray(first)[..., : cfg.filters].round(3).tolist(),
    }


def strongest(stage: jnp.ndarray, count: int) -> dict[str, Any]:
    """The channels of a stage with the largest deviation over the images, and their maps."""
    values = np.asarray(stage)
    order = np.argsort(-values.std(tuple(range(values.ndim - 1))), kind="stable")[:count]
    return {"channels": order.tolist(), "maps": values[..., order].round(3).tolist()}
