"""The algorithms behind `ops.conv`, one file each; importing one here is what registers it."""

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.algorithms.fft import FFT  # noqa: F401
from cnnlab.ops.algorithms.im2col import IM2COL  # noqa: F401
from cnnlab.ops.algorithms.lax import LAX  # noqa: F401
from cnnlab.ops.algorithms.native import NATIVE  # noqa: F401
from cnnlab.ops.algorithms.native_winograd import NATIVE_WINOGRAD  # noqa: F401
from cnnlab.ops.algorithms.overlap_add import FFT_OVERLAP_ADD  # noqa: F401
from cnnlab.ops.algorithms.pointwise import POINTWISE  # noqa: F401
from cnnlab.ops.algorithms.taps import TAPS  # noqa: F401
from cnnlab.ops.algorithms.toeplitz import TOEPLITZ  # noqa: F401
from cnnlab.ops.algorithms.winograd import WINOGRAD, WINOGRAD_F2  # noqa: F401
from cnnlab.ops.problem import PASSES, Pass

REGISTRY = {a.name: a for a in list(globals().values()) if isinstance(a, Algorithm)}

__all__ = ["PASSES", "REGISTRY", "Algorithm", "Pass"]
