"""Bad arguments are refused in one line that begins with the argument's name."""

import jax.numpy as jnp
import pytest

from cnnlab import ops

X = jnp.zeros((2, 5, 6, 4))
K = jnp.zeros((3, 3, 4, 2))


UNABLE = next(iter(ops.algorithms(X.shape, K.shape).refused))


def conv(x=X, kernel=K, **options):
    return lambda: ops.conv(x, kernel, **options)


CASES = [
    (conv(stride=0), r"stride: expected an int >= 1, got 0"),
    (conv(stride=(1, -2)), r"stride\[1\]: expected an int >= 1, got -2"),
    (conv(stride=(1, 2, 3)), r"stride: expected an int or 2 of them, got \(1, 2, 3\)"),
    (conv(dilation=0), r"dilation: expected an int >= 1, got 0"),
    (conv(padding="SAEM"), r"padding: expected 'SAME', 'VALID', .* got 'SAEM'"),
    (conv(padding="CAUSAL"), r"padding: 'CAUSAL' needs 1 spatial axis, got 2"),
    (conv(padding=-1), r"padding: expected an int >= 0, got -1"),
    (conv(padding=(1, -1)), r"padding\[1\]: expected an int >= 0, got -1"),
    (conv(padding=((0, 1), (0, -1))), r"padding\[1\]\[1\]: expected an int >= 0, got -1"),
    (conv(padding=(1, 1, 1)), r"padding: expected an int or 2 entries .* got \(1, 1, 1\)"),
    (conv(kernel=jnp.zeros((7, 3, 4, 2)), padding="VALID"), r"kernel_size\[0\]: a window of 7 "),
    (conv(padding="VALID", dilation=3), r"kernel_size\[0\]: a window of 7 does not fit .* 5 "),
    (conv(kernel=jnp.zeros((3, 3))), r"kernel: expected \(\*kernel_size, .*got shape \(3, 3\)"),
    (conv(kernel=jnp.zeros((3, 3, 3, 2))), r"kernel: expected 4 input channels .* got 3"),
    (conv(groups=3), r"groups: expected a divisor of 4 input and 2 output channels, got 3"),
    (conv(groups=0), r"groups: expected a divisor"),
    (conv(groups=True), r"groups: expected a divisor .* got True"),
    # XLA ends the process where the size of an array overflows.
    (conv(padding=2**40), r"padding: expected an int of at most 2,147,483,647, got 1,099,511,"),
    (conv(padding=2**63), r"padding: expected an int of at most 2,147,483,647, got 9,223,372,"),
    (conv(padding=2**30), r"padding: asks for an array of shape \(2147483653, 2147483654\); an "),
    (conv(padding=2**21), r"padding: asks for an array of shape \(4194309, 4194310\); an axis "),
    (conv(padding=((2**31, 0), 0)), r"padding\[0\]\[0\]: expected an int of at most"),
    (conv(x=jnp.zeros((2, 5, 4)), kernel=K[0], padding=2**30), r"padding: asks for an array of"),
    (conv(stride=2**31), r"stride: expected an int of at most 2,147,483,647, got 2,147,483,648"),
    (conv(dilation=2**63), r"dilation: expected an int of at most"),
    (conv(dilation=2**30), r"padding: asks for an array of shape"),
    (lambda: ops.conv_transpose(X[..., :2], K, stride=2**30), r"stride: asks for an array of"),
    (lambda: ops.max_pool(X, (2, 2), stride=2**31), r"stride: expected an int of at most"),
    (lambda: ops.unfold(X, (2, 2), padding=2**30), r"padding: asks for an array of shape"),
    (lambda: ops.pad(X, (2**30, 0)), r"pads: asks for an array of shape \(2147483653, 6\)"),
    (conv(x=jnp.zeros((5, 4))), r"x: expected \(\*batch, 2 spatial axes, channels\), got"),
    (conv(x=jnp.zeros((0, 6, 4))), r"spatial\[0\]: expected an int >= 1, got 0"),
    (conv(algorithm="ftt"), r"algorithm: expected one of auto, .*got 'ftt'"),
    (conv(algorithm=UNABLE), f"algorithm: '{UNABLE}' cannot serve this convolution: "),
    (
        conv(X.astype(int), K.astype(int), algorithm=ops.FOURIER),
        r"algorithm: .* cannot .* floating-point numbers, not int32",
    ),
    (lambda: ops.algorithms((4, 4, 3), (3, 3, 2, 1)), r"kernel: expected 3 input channels"),
    (lambda: ops.conv_transpose(X, K), r"y: expected .* 2 channels\), got shape"),
    (lambda: ops.conv_transpose(X[..., :2], K, groups=3), r"groups: expected a divisor of 2"),
    (
        lambda: ops.conv_transpose(X[..., :2], K, stride=2, shape=(9, 13)),
        r"shape: conv takes \(9, 13\) to \(5, 7\), but y has \(5, 6\)",
    ),
    (
        lambda: ops.conv_transpose(X[:, :1, :1, :2], K, padding=2),
        r"padding\[0\]: \(2, 2\) leaves an output of size -1",
    ),
    (lambda: ops.toeplitz_matrix(K, (2, 5, 6, 4)), r"input_shape: expected 2 spatial sizes"),
    (lambda: ops.unfold(X, ()), r"window: expected one size per spatial axis"),
    (lambda: ops.unfold(X, (2, 0)), r"window\[1\]: expected an int >= 1, got 0"),
    (lambda: ops.unfold(X, (2,) * 4), r"window: 4 spatial axes and channels do not fit 4"),
    (lambda: ops.fold(X, (9, 9), (2, 2)), r"patches: expected \(8, 8\) windows .* got \(5, 6\)"),
    (lambda: ops.fold(X, (6, 8), (2, 3)), r"patches: expected a multiple of 6 .* got 4"),
    (
        lambda: ops.local_conv(X, jnp.zeros((5, 6, 35, 2)), window=3),
        r"weights: expected shape \(5, 6, 36, 2\), got \(5, 6, 35, 2\)",
    ),
    (lambda: ops.local_conv(X, jnp.zeros((3, 3)), window=3), r"weights: expected \(\*out, "),
    (lambda: ops.max_pool(X, (8, 2)), r"kernel_size\[0\]: a window of 8 does not fit"),
    (lambda: ops.max_pool(X, (2, 2), padding=2), r"padding\[0\]: expected less than the window"),
    (lambda: ops.avg_pool(X, (2, 2), stride=0), r"stride: expected an int >= 1, got 0"),
    (lambda: ops.global_pool(X, "mean"), r"kind: expected one of avg, max, sum, got 'mean'"),
    (lambda: ops.global_pool(X, "avg", 4), r"num_spatial_dims: expected 1 to 3 .* got 4"),
    (lambda: ops.pad(X, (1, 1), "mirror"), r"mode: expected one of zeros, .* got 'mirror'"),
    (lambda: ops.pad(X, (5, 1), "reflect"), r"pads\[0\]: mode 'reflect' .* at most 4 "),
    (lambda: ops.pad(X, (1, 7), "circular"), r"pads\[1\]: mode 'circular' .* at most 6 "),
    (lambda: ops.pad(X, (1,) * 4), r"pads: 4 spatial axes do not fit"),
    (lambda: ops.pad(X, (1, -1)), r"padding\[1\]: expected an int >= 0, got -1"),
]


@pytest.mark.parametrize(("call", "message"), CASES)
def test_one_line_that_names_the_argument(call, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        call()
    assert "\n" not in str(caught.value)
