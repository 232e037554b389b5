"""The algorithms behind `ops.conv`, one file each; `REGISTRY` is the one place that lists them."""

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.algorithms.fft import FFT
from cnnlab.ops.algorithms.fft_monarch import FFT_MONARCH
from cnnlab.ops.algorithms.im2col import IM2COL
from cnnlab.ops.algorithms.lax import LAX
from cnnlab.ops.algorithms.native import NATIVE
from cnnlab.ops.algorithms.native_fft import NATIVE_FFT
from cnnlab.ops.algorithms.native_winograd import NATIVE_WINOGRAD
from cnnlab.ops.algorithms.overlap_add import FFT_OVERLAP_ADD
from cnnlab.ops.algorithms.pointwise import POINTWISE
from cnnlab.ops.algorithms.taps import TAPS
from cnnlab.ops.algorithms.toeplitz import TOEPLITZ
from cnnlab.ops.algorithms.winograd import WINOGRAD, WINOGRAD_F2
from cnnlab.ops.problem import PASSES, Pass

# Each by the name of its constant in small letters: so `config.allowed` reads them here.
_ALL = (
    FFT,
    IM2COL,
    LAX,
    NATIVE,
    NATIVE_FFT,
    NATIVE_WINOGRAD,
    FFT_MONARCH,
    FFT_OVERLAP_ADD,
    POINTWISE,
    TAPS,
    TOEPLITZ,
    WINOGRAD,
    WINOGRAD_F2,
)
REGISTRY = {algorithm.name: algorithm for algorithm in _ALL}

# What the others are compared with: XLA's own, which serves every problem on every platform.
REFERENCE = LAX.name
# What is asked for where a convolution is to be a product of Fourier transforms.
FOURIER = FFT.name

__all__ = ["FOURIER", "PASSES", "REFERENCE", "REGISTRY", "Algorithm", "Pass"]
