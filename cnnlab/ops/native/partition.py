"""Foreign calls of a sharded program: each device computes its part of the batch.

XLA knows nothing of what is behind a foreign call, and would gather the whole batch for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

Result = TypeVar("Result")
_whole = ContextVar("_whole", default=False)


@contextmanager
def not_partitioned() -> Iterator[None]:
    """For what is traced inside: no partitioner will see it, as where the program is for one
    device. JAX's `custom_partitioning` would ask which."""
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


def over_batch(
    run: Callable[..., Result],
    ranks: tuple[int, ...],
    results: int | tuple[int, ...],
    *,
    split: tuple[int, ...],
    summed: bool = False,
) -> Callable[..., Result]:
    """`run` for arrays that a sharded `jit` has cut along the batch, the first axis.

    **Arguments:**

    - `ranks`, `results`: numbers of axes of the arguments, and of the result or of several.
    - `split`: the arguments that have a batch axis.
    - `summed`: the result has none: it is summed over, and each device's is a part of the sum.
    """
    if _whole.get():
        return run
    several = isinstance(results, tuple)
    outputs = results if several else (results,)
    axes = [[f"v{j}_{i}" for i in range(n)] for j, n in enumerate((*ranks, *outputs))]
    for i in (*split, *(() if summed else range(len(ranks), len(axes)))):
        axes[i][0] = "batch"
    names = [" ".join(a) for a in axes]
    arguments, made = ", ".join(names[: len(ranks)]), ", ".join(names[len(ranks) :])

    def partition(mesh, arg_shapes, result_shape):
        name = next(iter(arg_shapes[split[0]].sharding.spec), None)
        along = NamedSharding(mesh, PartitionSpec(name))
        everywhere = NamedSharding(mesh, PartitionSpec())

        def local(*parts: Array) -> Result:
            # What is traced in here is of one device: no mesh, explicit or not.
            with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
                y = run(*parts)
                return jax.lax.psum(y, name) if summed and name is not None else y

        shardings = tuple(along if i in split else everywhere for i in range(len(ranks)))
        of_result = everywhere if summed else along
        return mesh, local, (of_result,) * len(outputs) if several else of_result, shardings

    def infer(mesh, arg_shapes, result_shape):
        return partition(mesh, arg_shapes, result_shape)[2]

    partitioned = custom_partitioning(run)
    whole = sorted({name for of_one in axes for name in of_one} - {"batch"})
    partitioned.def_partition(
        partition,
        infer_sharding_from_operands=infer,
        sharding_rule=f"{arguments} -> {made}",
        need_replication_factors=tuple(whole),
        reduction_factors=("batch",) if summed else (),
    )
    return partitioned
