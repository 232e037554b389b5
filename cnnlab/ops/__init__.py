"""Pure functions on arrays: the convolution and its algorithms, patches, pooling.

Arrays are channels last with any leading batch axes, `(*batch, *spatial, c)`; kernels are
`(*kernel_size, c_in / groups, c_out)`. `ops.algorithms` is the function that lists the algorithms
for a convolution; the package of that name holds their files.
"""

from cnnlab.arguments import to_tuple
from cnnlab.ops.algorithms import FOURIER, PASSES, REFERENCE, REGISTRY, Algorithm, Pass
from cnnlab.ops.choice import NAMES as ALGORITHMS
from cnnlab.ops.convolution import algorithms, conv, conv_transpose, fft_conv
from cnnlab.ops.fused import FUSED_ACTIVATIONS
from cnnlab.ops.padding import PADDING_MODES, pad
from cnnlab.ops.patches import fold, local_conv, unfold
from cnnlab.ops.pooling import avg_pool, global_pool, max_pool
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Problem, describe
from cnnlab.ops.toeplitz import toeplitz_matrix
from cnnlab.ops.vect import unvect, vect
from cnnlab.ops.window import (
    Ints,
    Padding,
    Window,
    output_shape,
    resolve_padding,
    transpose_shape,
)

__all__ = [
    "ALGORITHMS",
    "FOURIER",
    "FUSED_ACTIVATIONS",
    "PADDING_MODES",
    "PASSES",
    "REFERENCE",
    "REGISTRY",
    "Algorithm",
    "Ints",
    "Padding",
    "Pass",
    "Problem",
    "Window",
    "accumulation_dtype",
    "algorithms",
    "avg_pool",
    "conv",
    "conv_transpose",
    "describe",
    "fft_conv",
    "fold",
    "global_pool",
    "local_conv",
    "max_pool",
    "output_shape",
    "pad",
    "resolve_padding",
    "to_tuple",
    "toeplitz_matrix",
    "transpose_shape",
    "unfold",
    "unvect",
    "vect",
]
