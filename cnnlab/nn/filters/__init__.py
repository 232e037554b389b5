"""Kernels of any length from a few parameters, for long convolutions.

A filter is asked by `filter.kernel(length)`, which gives `(length, channels)`: entry `[l, c]`
weighs what channel `c` was `l` positions before. All can be asked for any length, a longer one than
in training, too.
"""

from cnnlab.nn.filters.base import Filter
from cnnlab.nn.filters.diagonal import EMA, S4D, Diagonal
from cnnlab.nn.filters.explicit import Explicit, SGConv
from cnnlab.nn.filters.hyena import Hyena

__all__ = ["EMA", "S4D", "Diagonal", "Explicit", "Filter", "Hyena", "SGConv"]
