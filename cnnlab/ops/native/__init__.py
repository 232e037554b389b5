"""The native engine: oneDNN's convolutions, Winograd's and max-pooling behind XLA's foreign
function interface (CPU).

Optional: where it can't be built or loaded, or `CNNLAB_NATIVE=0`, all of them run as JAX.
"""

from cnnlab.ops.native.call import (
    convolve,
    convolve_bias,
    convolve_by_fft,
    convolve_channels_first,
)
from cnnlab.ops.native.engine import ENGINE, VARIABLE, Code, Engine, Implementation
from cnnlab.ops.native.pool import max_pool, max_pool_gradient, pools
from cnnlab.ops.native.sums import adds, sums

__all__ = [
    "ENGINE",
    "VARIABLE",
    "Code",
    "Engine",
    "Implementation",
    "adds",
    "convolve",
    "convolve_bias",
    "convolve_by_fft",
    "convolve_channels_first",
    "max_pool",
    "max_pool_gradient",
    "pools",
    "sums",
]
