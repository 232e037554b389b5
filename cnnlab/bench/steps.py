"""Training steps of one network, each as its library's users write it: cnnlab, Equinox, PyTorch.

The network is a VGG plan of 3x3 convolutions with biases and ReLUs, global average and a linear
layer; the step is the mean cross-entropy's gradient and SGD with momentum. All begin with the same
weights and see one batch.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array

from cnnlab import models, nn
from cnnlab.bench.contenders import torch_device, without_engine
from cnnlab.data.batches import Batch
from cnnlab.ops.native import ENGINE
from cnnlab.train.parallel import Jit
from cnnlab.train.state import init_state
from cnnlab.train.step import make_train_step
from cnnlab.train.training import Trainer

LEARNING_RATE, MOMENTUM, CLASSES = 0.01, 0.9, 10
PEERS = ("eqx", "torch")
PRECISIONS = ("float32", "bfloat16")

Step = Callable[[], Any]  # makes a step and gives the loss before it
Weights = tuple[np.ndarray, np.ndarray]  # a kernel and its bias


@dataclass(frozen=True)
class Job:
    """One network, one batch and one precision."""

    plan: tuple[int | str, ...]
    shape: tuple[int, ...]
    batch_size: int
    precision: str
    seed: int

    @functools.cached_property
    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Images `(batch, h, w, c)` of normal numbers and labels `(batch,)`."""
        generator = np.random.default_rng(self.seed)
        images = generator.standard_normal((self.batch_size, *self.shape), np.float32)
        return images, generator.integers(0, CLASSES, self.batch_size)

    def classifier(self) -> tuple[models.Classifier, eqx.nn.State]:
        """cnnlab's network, whose weights all others take."""
        keys = jr.split(jr.key(self.seed))

        def make() -> models.Classifier:
            backbone = models.VGG(self.shape, self.plan, key=keys[0])
            head = models.LinearHead(backbone.out_shape, CLASSES, key=keys[1])
            return models.Classifier(backbone, head)

        return eqx.nn.make_with_state(make)()

    @property
    def layers(self) -> tuple[list[Weights | None], Weights]:
        """The kernel `(k, k, c_in, c_out)` and bias of each layer, None for a pool; the head's."""
        model, _ = self.classifier()
        found: list[Weights | None] = []
        convs = [
            v for stage in model.backbone.stages for v in stage.layers if isinstance(v, nn.Conv)
        ]
        remaining = iter(convs)
        for entry in self.plan:
            found.append(None if entry == "M" else _weights(next(remaining)))
        return found, _weights(model.head.linear)


def _weights(layer: nn.Conv | nn.Linear) -> Weights:
    return np.asarray(layer.weight), np.asarray(layer.bias)


def contenders(job: Job, peers: Sequence[str]) -> Mapping[str, Step]:
    """The steps to compare, by the name that tables show."""
    found: dict[str, Step] = {"cnnlab": _cnnlab(job)}
    if ENGINE.refusal() is None:
        found["cnnlab, no engine"] = without_engine(_cnnlab(job))
    if "eqx" in peers:
        found["equinox"] = _equinox(job)
    if "torch" in peers:
        found["torch"] = _torch(job)
        found["torch channels-last"] = _torch(job, channels_last=True)
        found["torch compiled"] = _torch(job, compiled=True)
    return found


class _OneBatch:
    """A loader whose every batch is the job's."""

    steps_per_epoch = 1

    def __init__(self, job: Job) -> None:
        self.batch_size = job.batch_size
        self.resident = tuple(jnp.asarray(v) for v in job.batch)

    def handles(self, start_step: int = 0) -> Generator[None, None, None]:
        del start_step
        while True:
            yield

    @staticmethod
    def fetch(resident: tuple[Array, Array], handle: None) -> Batch:
        del handle
        images, labels = resident
        return Batch(images, labels, jnp.arange(len(labels)))


def _cnnlab(job: Job) -> Step:
    optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)
    step = make_train_step(optimizer, compute_dtype=jnp.dtype(job.precision))
    state = init_state(*job.classifier(), optimizer, average=False, key=jr.key(0))
    trainer = Trainer(step, lambda batch, key, step: batch, Jit())
    training = trainer.start(state, _OneBatch(job))
    return lambda: training.advance()["loss"]


def _equinox(job: Job) -> Step:
    """`eqx.nn` layers, channels first, one example at a time under `vmap`."""
    key = jr.key(0)
    layers: list[Any] = []
    body, (weight, bias) = job.layers
    for layer in body:
        if layer is None:
            layers.append(eqx.nn.MaxPool2d(2, 2))
            continue
        kernel = jnp.asarray(layer[0]).transpose(3, 2, 0, 1)
        conv = eqx.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, key=key)
        values = kernel, jnp.asarray(layer[1])[:, None, None]
        layers += [eqx.tree_at(lambda c: (c.weight, c.bias), conv, values), jax.nn.relu]
    linear = eqx.nn.Linear(*weight.shape, key=key)
    values = jnp.asarray(weight).T, jnp.asarray(bias)
    linear = eqx.tree_at(lambda v: (v.weight, v.bias), linear, values)

    def one(layers: Sequence[Any], image: Array) -> Array:
        x = jnp.moveaxis(image, -1, 0)
        for layer in layers[:-1]:
            x = layer(x)
        return layers[-1](x.mean((1, 2)))

    optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)
    parameters, static = eqx.partition([*layers, linear], eqx.is_inexact_array)
    images, labels = (jnp.asarray(v) for v in job.batch)
    compute = jnp.dtype(job.precision)

    def loss(parameters: Any) -> Array:
        narrow = jax.tree.map(lambda v: v.astype(compute), parameters)
        logits = jax.vmap(one, (None, 0))(eqx.combine(narrow, static), images.astype(compute))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(float), labels)
        return losses.mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(parameters: Any, state: Any) -> tuple[Any, Any, Array]:
        value, gradient = jax.value_and_grad(loss)(parameters)
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, value

    carry = [parameters, optimizer.init(parameters)]

    def run() -> Array:
        *carry[:], value = step(*carry)
        return value

    return run


def _torch(job: Job, *, channels_last: bool = False, compiled: bool = False) -> Step:
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(os.cpu_count() or 1)
    layers: list[Any] = []
    body, (weight, bias) = job.layers
    for layer in body:
        if layer is None:
            layers.append(torch.nn.MaxPool2d(2))
            continue
        kernel, offset = (torch.from_numpy(v.copy()) for v in layer)
        conv = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
        assert conv.bias is not None
        conv.weight.data, conv.bias.data = kernel.permute(3, 2, 0, 1).contiguous(), offset
        layers += [conv, torch.nn.ReLU()]
    linear = torch.nn.Linear(*weight.shape)
    linear.weight.data, linear.bias.data = torch.from_numpy(weight.T.copy()), torch.tensor(bias)
    pooled = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    device = torch_device()
    model = torch.nn.Sequential(*layers, *pooled, linear).to(device)
    images, labels = (torch.from_numpy(v).to(device) for v in job.batch)
    images = images.permute(0, 3, 1, 2).contiguous()
    if channels_last:
        # pyrefly: ignore[no-matching-overload]: torch's overloads lack `memory_format`
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
    call = torch.compile(model) if compiled else model
    narrow = job.precision == "bfloat16"

    def run() -> float:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16) if narrow else contextlib.nullcontext():
            logits = call(images)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run
