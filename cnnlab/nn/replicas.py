"""What a layer needs to know about the replicas it runs on: one axis name and a few questions.

The parallel runtimes (pmap, shard_map) and `vmap(..., axis_name=AXIS)` bind `AXIS`. Where it is
not bound there is one replica. Under `jit` over sharded arrays nothing is bound and nothing is
needed: an array there is the whole batch.
"""

from collections.abc import Hashable

import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Int, PyTree

AXIS = "data"


def count(axis_name: Hashable = AXIS) -> int:
    """The number of replicas along `axis_name`; 1 where the axis is not bound."""
    # Asked while tracing, so the answer costs nothing at run time.
    try:
        return lax.axis_size(axis_name)
    except NameError:
        return 1


def is_bound(axis_name: Hashable = AXIS) -> bool:
    """Whether the code being traced runs under a map with the axis `axis_name`."""
    try:
        lax.axis_size(axis_name)
    except NameError:
        return False
    return True


def pmean(x: PyTree, axis_name: Hashable = AXIS) -> PyTree:
    """The mean over `axis_name` of every leaf; `x` itself where the axis is not bound."""
    return lax.pmean(x, axis_name) if is_bound(axis_name) else x


def gather(x: Array, axis_name: Hashable = AXIS) -> Array:
    """`x` of every replica, along a new first axis; the same everywhere."""
    # By a sum: of what `all_gather` gives, shard_map's check doesn't know that it is the same.
    alone = jnp.zeros((count(axis_name), *x.shape), x.dtype).at[rank(axis_name)].set(x)
    return lax.psum(alone, axis_name) if is_bound(axis_name) else alone


def rank(axis_name: Hashable = AXIS) -> int | Int[Array, ""]:
    """This replica's position along `axis_name`; 0 where the axis is not bound."""
    return lax.axis_index(axis_name) if is_bound(axis_name) else 0


def example_keys(key: jax.Array, local_batch: int, axis_name: Hashable = AXIS) -> jax.Array:
    """One key for each example of this replica's batch.

    Example `i` gets `fold_in(key, rank * local_batch + i)`: its place in the whole batch, so that
    one device and many replicas draw the same numbers for the same example.
    """
    first = rank(axis_name) * local_batch
    return jax.vmap(lambda i: jr.fold_in(key, first + i))(jnp.arange(local_batch))
