"""torchvision's networks as PyTorch runs them best on a CPU: channels last, eager or compiled."""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from cnnlab.bench.models.program import LEARNING_RATE, MOMENTUM

CLASSES = 1000


def torchvision_module(name: str) -> Any:
    """A module of torchvision, also where its compiled operators, which nothing here needs, are of
    another build of PyTorch than the one that is installed: it then misses their declaration."""
    torch: Any = importlib.import_module("torch")
    try:
        return importlib.import_module(name)
    except RuntimeError:
        for operator in ("nms", "qnms"):
            schema = "(Tensor a, Tensor b, float c) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)
        return importlib.import_module(name)


def _network(name: str, size: int) -> Any:
    torch: Any = importlib.import_module("torch")
    model = getattr(torchvision_module("torchvision.models"), name)(
        weights=None, num_classes=CLASSES
    )
    if name == "vgg16":  # as Keras has it: the head sees the map as it is, not enlarged to 7x7
        model.avgpool = torch.nn.Identity()
        model.classifier[0] = torch.nn.Linear(512 * (size // 32) ** 2, 4096)
    return model.to(memory_format=torch.channels_last)


def calls(name: str, batch: int, size: int, seed: int, *, compiled: bool) -> Mapping[str, Callable]:
    """By pass, a function without arguments: `forward` gives the logits, `step` the loss."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(seed)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (batch,))
    trained, settled = _network(name, size).train(), _network(name, size).eval()
    optimizer = torch.optim.SGD(trained.parameters(), LEARNING_RATE, MOMENTUM)
    if compiled:
        trained, settled = torch.compile(trained), torch.compile(settled)

    def forward() -> Any:
        with torch.inference_mode():
            return settled(images)

    def step() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(trained(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"forward": forward, "step": step}
