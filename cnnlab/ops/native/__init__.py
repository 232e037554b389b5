"""The native engine: oneDNN's convolutions behind XLA's foreign function interface (CPU).

Optional: where it can't be built or loaded, or `CNNLAB_NATIVE=0`, convolutions run as JAX.
"""

from cnnlab.ops.native.call import convolve, convolve_bias
from cnnlab.ops.native.engine import ENGINE, VARIABLE, Engine

__all__ = ["ENGINE", "VARIABLE", "Engine", "convolve", "convolve_bias"]
