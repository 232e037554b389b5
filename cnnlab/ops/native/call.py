"""Calls of the native engine inside a JAX program, sharded over the batch where the arrays are."""

from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from cnnlab.ops.native.engine import ENGINE
from cnnlab.ops.problem import PASSES, Pass, Problem

# oneDNN's activations, in the order of `Activation` in convolution.h.
_ACTIVATIONS = (None, "relu", "gelu")


def convolve(which: Pass, a: Array, b: Array, problem: Problem, *, winograd: bool = False) -> Array:
    """One of the three maps, by oneDNN's choice or by Winograd's; arrays as an `Algorithm` has
    them."""
    attributes = {"winograd": winograd, "pass": np.int64(PASSES.index(which))}

    def run(a: Array, b: Array) -> Array:
        part = replace(problem, batch=a.shape[0])
        shapes = (part.y_shape, part.x_shape, part.kernel_shape)
        shape = shapes[PASSES.index(which)]
        return _call("cnnlab_conv", which, part, shape, (a, b), attributes)

    rank = problem.rank + 2
    split = (0, 1) if which == "kernel_gradient" else (0,)
    return _over_batch(run, (rank, rank), rank, split=split)(a, b)


def convolve_bias(
    x: Array,
    kernel: Array,
    bias: Array,
    problem: Problem,
    activation: str | None,
    *,
    winograd: bool = False,
) -> Array:
    """The forward pass with its bias, `(c_out,)`, and an activation: `None`, `relu` or (not by
    Winograd's) `gelu`."""
    attributes = {"winograd": winograd, "activation": np.int64(_ACTIVATIONS.index(activation))}

    def run(x: Array, kernel: Array, bias: Array) -> Array:
        part = replace(problem, batch=x.shape[0])
        operands = (x, kernel, bias)
        return _call("cnnlab_conv_bias", "forward", part, part.y_shape, operands, attributes)

    rank = problem.rank + 2
    return _over_batch(run, (rank, rank, 1), rank, split=(0,))(x, kernel, bias)


def _call(
    target: str,
    which: Pass,
    problem: Problem,
    shape: tuple[int, ...],
    operands: tuple[Array, ...],
    attributes: dict[str, bool | np.int64],
) -> Array:
    # Where oneDNN has no code for the type on this processor, float32 around it.
    narrow = not attributes["winograd"] and ENGINE.implementation(problem, which)
    dtype = problem.dtype if narrow else np.dtype(np.float32)
    call = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(shape, dtype))
    wide = (v.astype(dtype) for v in operands)
    return call(*wide, **attributes, **_geometry(problem)).astype(problem.dtype)


def _over_batch(
    run: Callable[..., Array], ranks: tuple[int, ...], rank: int, *, split: tuple[int, ...]
) -> Callable[..., Array]:
    """`run` for arrays that a sharded `jit` has cut along the batch, the first axis.

    XLA knows nothing of what is behind a foreign call, and would gather the whole batch for it.

    Args:
        ranks, rank: numbers of axes of the arguments and of the result.
        split: the arguments that have a batch axis. Where all of them have one, it is summed over
            and each device's result is a part of the sum.
    """
    summed = len(split) == len(ranks)
    axes = [[f"v{j}_{i}" for i in range(n)] for j, n in enumerate((*ranks, rank))]
    for i in split:
        axes[i][0] = "batch"
    if not summed:
        axes[-1][0] = "batch"
    *arguments, result = (" ".join(names) for names in axes)

    def partition(mesh, arg_shapes, result_shape):
        name = next(iter(arg_shapes[split[0]].sharding.spec), None)
        along = NamedSharding(mesh, PartitionSpec(name))
        everywhere = NamedSharding(mesh, PartitionSpec())

        def local(*parts: Array) -> Array:
            # What is traced in here is of one device: no mesh, explicit or not.
            with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
                y = run(*parts)
                return jax.lax.psum(y, name) if summed and name is not None else y

        shardings = tuple(along if i in split else everywhere for i in range(len(ranks)))
        return mesh, local, everywhere if summed else along, shardings

    def infer(mesh, arg_shapes, result_shape):
        return partition(mesh, arg_shapes, result_shape)[2]

    partitioned = custom_partitioning(run)
    whole = sorted({name for names in axes for name in names} - {"batch"})
    partitioned.def_partition(
        partition,
        infer_sharding_from_operands=infer,
        sharding_rule=f"{', '.join(arguments)} -> {result}",
        need_replication_factors=tuple(whole),
        reduction_factors=("batch",) if summed else (),
    )
    return partitioned


def _geometry(problem: Problem) -> dict[str, np.ndarray | np.int64]:
    """The attributes of a call that say where the windows lie."""
    return {
        "stride": np.array(problem.stride, np.int64),
        "dilation": np.array(problem.dilation, np.int64),
        "low": np.array([low for low, _ in problem.padding], np.int64),
        "high": np.array([high for _, high in problem.padding], np.int64),
        "groups": np.int64(problem.groups),
    }
