"""The routes to one convolution that the benchmark compares, each ready to run on given arrays."""

import dataclasses
import functools
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array

from cnnlab import ops
from cnnlab.ops import REFERENCE, REGISTRY, Problem
from cnnlab.ops.native import ENGINE

TIMED_PASSES = ("forward", "gradients")
PEERS = ("eqx", "torch")
R = TypeVar("R")
# What `auto` takes where there is no native engine.
PORTABLE = "auto, no engine"
# What chooses among the algorithms.
CHOICES = ("auto", PORTABLE)

# Of the error to expect (`Algorithm.tolerance`): sums are longer than in tests, and the reference
# rounds, too.
ALLOWANCE = 10
TOLERANCE = ALLOWANCE * REGISTRY[REFERENCE].tolerance(np.float32)
_SPATIAL = {1: "H", 2: "HW", 3: "DHW"}


class Operands(NamedTuple):
    """`x` `(batch, *spatial, c_in)`, `kernel` `(*kernel_size, c_in / groups, c_out)` and `dy`, the
    cotangent of the result, `(batch, *out, c_out)`."""

    x: np.ndarray
    kernel: np.ndarray
    dy: np.ndarray


@dataclasses.dataclass(frozen=True)
class Contender:
    """One route, with its arrays in the layout that it likes best.

    **Attributes:**

    - `run`: by pass, a function without arguments: `"forward"` gives `y`, `"gradients"` gives `y`,
      `dx` and `dkernel`.
    - `restore`: a result as numpy arrays, channels last.
    - `tolerance`: how far a result may be from the reference (`largest_error`).
    """

    run: Mapping[str, Callable[[], object]]
    restore: Callable[[Any], tuple[np.ndarray, ...]]
    tolerance: float = TOLERANCE

    def result(self, which: str) -> tuple[np.ndarray, ...]:
        """What a pass computes, in the layout that all share."""
        value = self.run[which]()
        return self.restore(value if isinstance(value, tuple) else (value,))


def random_operands(problem: Problem, seed: int) -> Operands:
    """Normal numbers of the problem's type, those of a kernel scaled so that results have variance
    1."""
    generator = np.random.default_rng(seed)
    normal = lambda shape: generator.standard_normal(shape, np.float32)
    fan_in = problem.taps * problem.in_channels // problem.groups
    kernel = normal(problem.kernel_shape) / np.sqrt(fan_in, dtype=np.float32)
    arrays = normal(problem.x_shape), kernel, normal(problem.y_shape)
    return Operands(*(a.astype(problem.dtype, copy=False) for a in arrays))


def largest_error(got: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    """Largest difference over largest reference value, the worst of the arrays; nan if any is."""
    pairs = list(zip(got, reference, strict=True))
    if any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    wide = [(np.asarray(a, np.float32), np.asarray(b, np.float32)) for a, b in pairs]
    return float(np.max([np.abs(a - b).max() / np.abs(b).max() for a, b in wide]))


def contenders(
    problem: Problem, arrays: Operands, algorithms: Sequence[str], peers: Sequence[str]
) -> dict[str, Contender]:
    """The reference, `auto`, the algorithms and the peers, by the name that tables show.

    **Arguments:** `arrays`, what all of them compute on; `peers`, some of `PEERS`.
    """
    # cnnlab's algorithm of that name is the same call with the same gradients: measured once.
    found = {REFERENCE: compiled(lax_convolution(problem), arrays)}
    found |= {name: _cnnlab(problem, arrays, name) for name in ("auto", *algorithms)}
    if ENGINE.refusal() is None:
        auto = _cnnlab(problem, arrays, "auto")
        run = {which: without_engine(run) for which, run in auto.run.items()}
        found[PORTABLE] = dataclasses.replace(auto, run=run)
    if "eqx" in peers:
        found["eqx"] = _equinox(problem, arrays)
    if "torch" in peers:
        found["torch"] = _torch(problem, arrays, channels_last=False)
        if problem.rank > 1:  # PyTorch has no such format for sequences
            found["torch channels-last"] = _torch(problem, arrays, channels_last=True)
    return found


def torch_missing() -> str | None:
    """Why PyTorch cannot be measured here, or None where it can."""
    # PyTorch's threads spin while they wait for each other, which takes 30 times as long when the
    # cores have other work (the next contender's threads, say). Read when the library loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as problem:
        return f"{problem} (it comes with the extra bench)"
    if jax.default_backend() != "cpu" and torch_device() == "cpu":
        return f"it has no device, and JAX runs on {jax.default_backend()} ({torch.__version__})"
    return None


def torch_device() -> str:
    """Where PyTorch runs: where JAX does."""
    import torch

    return "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"


def torch_tensor(array: np.ndarray) -> Any:
    """There; NumPy's bfloat16 is none of PyTorch's."""
    import torch

    wide = torch.from_numpy(np.ascontiguousarray(array, np.float32))
    return wide.to(torch_device(), getattr(torch, array.dtype.name))


def torch_synchronize() -> None:
    """Wait for what PyTorch was asked to compute."""
    import torch

    if torch_device() == "cuda":
        torch.cuda.synchronize()


def _geometry(problem: Problem) -> dict[str, Any]:
    """The arguments of `ops.conv` that are not arrays."""
    return {name: getattr(problem, name) for name in ("stride", "padding", "dilation", "groups")}


def compiled(
    forward: Callable,
    arrays: Operands,
    restore: Callable = lambda arrays: arrays,
    tolerance: float = TOLERANCE,
) -> Contender:
    """`forward(x, kernel)` and JAX's derivatives of it, each compiled."""
    x, kernel, dy = (jnp.asarray(a) for a in arrays)

    def gradients(x, kernel, dy):
        y, transpose = jax.vjp(forward, x, kernel)
        return y, *transpose(dy)

    run = {
        "forward": functools.partial(jax.jit(forward), x, kernel),
        "gradients": functools.partial(jax.jit(gradients), x, kernel, dy),
    }
    return Contender(run, lambda result: restore(tuple(map(np.asarray, result))), tolerance)


def without_engine(run: Callable[[], R]) -> Callable[[], R]:
    """`run`, compiled and called as if there were no native engine."""

    def portable() -> R:
        with ENGINE.disabled():
            return run()

    return portable


def lax_convolution(problem: Problem) -> Callable[[ArrayLike, ArrayLike], Array]:
    """JAX's own convolution of `(x, kernel)`, as one would call it: nothing of cnnlab."""
    spatial = _SPATIAL[problem.rank]

    def forward(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=problem.stride,
            padding=problem.padding,
            rhs_dilation=problem.dilation,
            dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
            feature_group_count=problem.groups,
        )

    return forward


def _cnnlab(problem: Problem, arrays: Operands, algorithm: str) -> Contender:
    forward = functools.partial(ops.conv, algorithm=algorithm, **_geometry(problem))
    able = REGISTRY.values() if algorithm in CHOICES else [REGISTRY[algorithm]]
    tolerance = ALLOWANCE * max(a.tolerance(problem.dtype) for a in able)
    return compiled(forward, arrays, tolerance=tolerance)


def _equinox(problem: Problem, arrays: Operands) -> Contender:
    """Equinox's layer, channels first, one example at a time under `vmap`."""
    layer = eqx.nn.Conv(
        problem.rank,
        problem.in_channels,
        problem.out_channels,
        problem.kernel_size,
        **_geometry(problem),
        use_bias=False,
        key=jr.key(0),
    )

    def forward(x, weight):
        return jax.vmap(eqx.tree_at(lambda layer: layer.weight, layer, weight))(x)

    return compiled(forward, channels_first(arrays), _channels_last)


def _torch(problem: Problem, arrays: Operands, *, channels_last: bool) -> Contender:
    """PyTorch's functional convolution on all cores, channels first in their order or in memory."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(os.cpu_count() or 1)
    x, kernel, dy = map(torch_tensor, channels_first(arrays))
    if channels_last:
        layout = {2: torch.channels_last, 3: torch.channels_last_3d}[problem.rank]
        x, kernel, dy = (a.contiguous(memory_format=layout) for a in (x, kernel, dy))
    conv = (F.conv1d, F.conv2d, F.conv3d)[problem.rank - 1]
    even = all(low == high for low, high in problem.padding)
    options = _geometry(problem) | {"padding": [low if even else 0 for low, _ in problem.padding]}
    # `F.pad` takes the last axis first.
    around = [amount for pair in reversed(problem.padding) for amount in pair]

    def compute(x, kernel):
        return conv(x if even else F.pad(x, around), kernel, **options)

    def forward():
        with torch.inference_mode():
            y = compute(x, kernel)
        torch_synchronize()
        return y

    leaves = tuple(a.detach().requires_grad_() for a in (x, kernel))

    def gradients():
        y = compute(*leaves)
        result = y.detach(), *torch.autograd.grad(y, leaves, dy)
        torch_synchronize()
        return result

    restore = lambda result: _channels_last(tuple(t.float().cpu().numpy() for t in result))
    return Contender({"forward": forward, "gradients": gradients}, restore)


def channels_first(arrays: Operands) -> Operands:
    """`(batch, c, *spatial)`, and kernels `(c_out, c_in / groups, *kernel_size)`."""
    x, dy = (np.moveaxis(a, -1, 1) for a in (arrays.x, arrays.dy))
    kernel = np.moveaxis(arrays.kernel, (-1, -2), (0, 1))
    return Operands(*(np.ascontiguousarray(a) for a in (x, kernel, dy)))


def _channels_last(result: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """`y`, or `y`, `dx` and `dkernel`, from channels first."""
    maps = tuple(np.moveaxis(a, 1, -1) for a in result[:2])
    return maps + tuple(np.moveaxis(a, (0, 1), (-1, -2)) for a in result[2:])
