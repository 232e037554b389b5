"""The algorithms behind `ops.conv`, one file each."""

from cnnlab.ops.algorithms.base import PASSES, Algorithm, Pass
from cnnlab.ops.algorithms.fft import FFT
from cnnlab.ops.algorithms.im2col import IM2COL
from cnnlab.ops.algorithms.lax import LAX
from cnnlab.ops.algorithms.overlap_add import FFT_OVERLAP_ADD
from cnnlab.ops.algorithms.pointwise import POINTWISE
from cnnlab.ops.algorithms.taps import TAPS
from cnnlab.ops.algorithms.toeplitz import TOEPLITZ
from cnnlab.ops.algorithms.winograd import WINOGRAD, WINOGRAD_F2

REGISTRY: dict[str, Algorithm] = {
    a.name: a
    for a in (
        POINTWISE, LAX, IM2COL, TAPS, WINOGRAD, WINOGRAD_F2, FFT, FFT_OVERLAP_ADD, TOEPLITZ
    )
}  # fmt: skip

__all__ = ["PASSES", "REGISTRY", "Algorithm", "Pass"]
