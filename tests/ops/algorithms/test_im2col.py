"""Patches as columns."""

import jax.numpy as jnp
from algorithm_checks import are_exact
from primitive_cases import PLAIN, PLAIN_PRODUCTS, predicted

from cnnlab.ops import describe
from cnnlab.ops.algorithms import im2col, tiles
from cnnlab.ops.algorithms.im2col import IM2COL


def test_costs():
    assert IM2COL.multiply_adds(PLAIN) == PLAIN_PRODUCTS
    # 9 * 4 numbers for each of the 64 patches of each example.
    assert IM2COL.extra_memory(PLAIN) == 2 * 64 * 36 * 4


def test_a_prime_batch_larger_than_the_cache():
    """Through `tile_size` itself: seven examples that do not fit together, one at a time."""
    large = describe((7, 48, 48, 32), (3, 3, 32, 32))
    each = im2col._bytes_each(large)
    assert tiles.tile_size(7, each) == 1 and 7 * each > tiles.BUDGET
    are_exact(IM2COL.name, [large], limit=1e-5)


def test_is_preferred_where_xla_is_slow():
    last = lambda *shapes, **options: predicted(describe(*shapes, **options))[-1]
    assert last((64, 32, 32, 3), (3, 3, 3, 32)) == IM2COL.name
    assert last((64, 32, 32, 64), (3, 3, 64, 96), stride=2) == IM2COL.name
    assert last((64, 16, 16, 64), (3, 3, 8, 64), groups=8) == IM2COL.name
    volume = describe((8, 16, 16, 16, 16), (3, 3, 3, 16, 16))
    assert predicted(volume) == [IM2COL.name] * 3
    # A copy for each tap is too much for the compiler.
    many = describe((64, 32, 32, 4), (9, 9, 4, 32), dtype=jnp.int32)
    assert IM2COL.name not in predicted(many)
