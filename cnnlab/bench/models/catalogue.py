"""Which networks are measured, and what each is built by: no library is imported for the list."""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # names of networks are asked for before jax loads
    from cnnlab.bench.models.program import Program

LIBRARIES = ("keras", "flax", "equinox", "reports")
# What a library's networks are built with, besides what cnnlab itself needs.
PACKAGES = {"keras": "keras", "flax": "flax", "reports": "flax", "torch": "torchvision"}


@dataclass(frozen=True)
class Network:
    """One network.

    **Attributes:**

    - `library`: whose layers it is made of; `reports` are single layers of open reports.
    - `builder`: `function(name, batch, size, seed) -> Program`, as `module:function`.
    - `peer`: the same network's name in `torchvision.models`, `""` where it has none.
    - `least`: the smallest image that it takes. A network of reports has its own batch and size.
    """

    name: str
    library: str
    builder: str
    peer: str = ""
    least: int = 1


@dataclass(frozen=True)
class Case:
    """A network and the batch that it sees: `batch` of images of `size` by `size`."""

    network: str
    batch: int
    size: int

    @property
    def title(self) -> str:
        """`ResNet50 (keras), batch 16, 64`; an open report's has no more than its name."""
        name = f"{self.network} ({NETWORKS[self.network].library})"
        return f"{name}, batch {self.batch}, {self.size}" if self.batch else name

    def build(self, seed: int) -> "Program":
        """The program, with random weights and a random batch."""
        module, _, function = NETWORKS[self.network].builder.partition(":")
        builder: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return builder(self.network, self.batch, self.size, seed)


def _of(library: str, **networks: str) -> list[Network]:
    module = f"cnnlab.bench.models.{library}_networks:build"
    return [Network(name, library, module, peer) for name, peer in networks.items()]


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        *_of(
            "keras",
            MobileNetV2="mobilenet_v2",
            EfficientNetB0="efficientnet_b0",
            ConvNeXtTiny="convnext_tiny",
            ResNet50="resnet50",
            DenseNet121="densenet121",
        ),
        Network("Xception", "keras", "cnnlab.bench.models.keras_networks:build", least=71),
        *_of("keras", VGG16="vgg16"),
        *_of("flax", ResNet18="resnet18", ConvNeXt="convnext_tiny"),
        *_of("equinox", ResNet="resnet18", UNet="", Volumes="", WaveNet=""),
        *(
            Network(name, "reports", "cnnlab.bench.models.reported_layers:build")
            for name in ("jax23713", "jax26266", "xla34273")
        ),
    )
}


def cases(batches: Sequence[int], sizes: Sequence[int]) -> list[Case]:
    """Every network at every batch and size, in an order that has all of one size first."""
    found = []
    for size in sizes:
        for batch in batches:
            for name, network in NETWORKS.items():
                reported = network.library == "reports"
                case = Case(name, 0, 0) if reported else Case(name, batch, max(size, network.least))
                if case not in found:
                    found.append(case)
    return found


def missing(libraries: Sequence[str]) -> str | None:
    """The package of one of some libraries that isn't installed, or None."""
    wanted = (PACKAGES[library] for library in libraries if library in PACKAGES)
    return next((name for name in wanted if importlib.util.find_spec(name) is None), None)
