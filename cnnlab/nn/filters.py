"""Kernels of any length from a few parameters, for long convolutions.

A filter is asked by `filter.kernel(length)`, which gives `(length, channels)`: entry `[l, c]`
weighs what channel `c` was `l` positions before. All can be asked for any length, a longer one than
in training, too.
"""

import abc
import math
from collections.abc import Callable, Sequence
from numbers import Real

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from cnnlab.arguments import one_of, positive_int, to_tuple
from cnnlab.nn.initializers import initializer


class Filter(eqx.Module):
    """A kernel of any length for each of `channels` channels."""

    channels: eqx.AbstractVar[int]

    @abc.abstractmethod
    def kernel(self, length: int) -> Float[Array, "length c"]:
        """The kernel `(length, channels)`, from the present position to `length - 1` before it."""


class Explicit(Filter):
    """One weight a position, made sparse and smooth (Fu et al. 2023, arXiv:2302.06646, 3.2).

    `weight` is `(max_length, channels)`; further back the kernel is zero. First each weight becomes
    the mean of itself and `smoothing` neighbours on either side (zeros beyond the ends), then all
    shrink by `squash` towards zero, and the smaller ones vanish.
    """

    weight: Float[Array, "n c"]
    channels: int = eqx.field(static=True)
    squash: float = eqx.field(static=True)
    smoothing: int = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        max_length: int,
        *,
        squash: float = 0.003,
        smoothing: int = 0,
        key: PRNGKeyArray,
    ):
        """**Arguments:** `squash`, at least 0; `smoothing`, a number of positions. The weights
        begin with a deviation of `1 / sqrt(max_length)`.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.channels = positive_int("channels", channels)
        length = positive_int("max_length", max_length)
        self.squash = _number("squash", squash, least=0)
        self.smoothing = to_tuple("smoothing", smoothing, 1, minimum=0)[0]
        self.weight = jr.normal(key, (length, self.channels)) / math.sqrt(length)

    def kernel(self, length: int) -> Float[Array, "length c"]:
        wide = 2 * self.smoothing + 1
        padded = jnp.pad(self.weight, ((self.smoothing,) * 2, (0, 0)))
        most = len(self.weight)
        smooth = sum(padded[i : i + most] for i in range(wide)) / wide
        sparse = jnp.sign(smooth) * jnp.maximum(jnp.abs(smooth) - self.squash, 0)
        return jnp.pad(sparse[:length], ((0, max(0, length - most)), (0, 0)))


def _legs(modes: int) -> np.ndarray:
    """Eigenvalues of the normal part of HiPPO's LegS matrix, those with a positive frequency.

    It is `-1/2 I + S` with `S[n, k] = -sqrt((2 n + 1) (2 k + 1)) / 2` below the diagonal and its
    opposite above: skew, so that `-i S` is Hermitian.
    """
    root = np.sqrt(2 * np.arange(2 * modes) + 1)
    below = np.tril(np.outer(root, root) / 2, -1)
    return np.linalg.eigvalsh(-1j * (below.T - below))[modes:]


# Where the modes' poles begin: -1/2 + i times these, and on the real axis `-(n + 1)`.
_FREQUENCIES: dict[str, Callable[[int], np.ndarray]] = {
    "lin": lambda modes: math.pi * np.arange(modes),
    "inv": lambda modes: modes * 2 / math.pi * (modes * 2 / (2 * np.arange(modes) + 1) - 1),
    "legs": _legs,
    "real": np.zeros,
}
_RULES = ("zoh", "bilinear")


class Diagonal(Filter):
    """The response of `modes` states of each channel that do not mix: their powers, weighed.

    One position after another it is a recurrence, at the same cost for each.
    """

    @abc.abstractmethod
    def system(
        self,
    ) -> tuple[Complex[Array, "c modes"], Complex[Array, "c modes"], Complex[Array, "c modes"]]:
        """`log A`, `B` and `C` of `s[l] = A s[l - 1] + B u[l]`, `y[l] = Re sum_n C_n s_n[l]`, whose
        kernel is `Re sum_n C_n B_n A_n^l`."""

    def kernel(self, length: int) -> Float[Array, "length c"]:
        """The powers of `A` from two tables of about `sqrt(length)` of them: `l = i m + j`, so that
        nothing of the size `length x modes` is made."""
        log_a, b, c = self.system()
        inner = math.isqrt(max(length - 1, 0)) + 1
        outer = -(-length // inner)
        table = lambda n, step: jnp.exp(step * jnp.arange(n)[:, None] * log_a[:, None])
        coarse = (c * b)[:, None] * table(outer, inner)
        fine = table(inner, 1)
        # Re(x y) = Re x Re y - Im x Im y: one real product of matrices.
        left = jnp.concatenate([coarse.real, -coarse.imag], -1)
        right = jnp.concatenate([fine.real, fine.imag], -1)
        sums = jnp.einsum("cin,cjn->ijc", left, right)
        return sums.reshape(outer * inner, self.channels)[:length]


class S4D(Diagonal):
    """The response of a diagonal linear system (Gu et al. 2022, arXiv:2206.11893).

    Each channel has `modes` states `s' = a s + u` with `a = -exp(log_decay) + i frequency`, sampled
    at steps of `exp(log_step)`; `output`, real and imaginary parts, weighs them, a state and its
    conjugate together (equation 5 there): four numbers a mode, whatever the length.
    """

    log_decay: Float[Array, "c modes"]
    frequency: Float[Array, "c modes"]
    output: Float[Array, "c modes 2"]
    log_step: Float[Array, " c"]
    channels: int = eqx.field(static=True)
    rule: str = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        *,
        modes: int = 32,
        poles: str = "lin",
        rule: str = "zoh",
        step: Sequence[float] = (0.001, 0.1),
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `modes`: complex states of each channel, half of the paper's N.
        - `poles`: where they begin (section 4 there): `"lin"`, `"inv"`, `"legs"`, or `"real"`.
        - `rule`: how the system is sampled: `"zoh"` holds the input over a step, `"bilinear"`.
        - `step`: channels begin with steps between these, evenly in their logarithm; a channel
          remembers some `2 / step` positions.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.channels = positive_int("channels", channels)
        modes = positive_int("modes", modes)
        self.rule = one_of("rule", rule, _RULES)
        frequency = _FREQUENCIES[one_of("poles", poles, _FREQUENCIES)](modes)
        decay = np.arange(1, modes + 1) if poles == "real" else np.full(modes, 0.5)
        if not isinstance(step, Sequence) or isinstance(step, str) or len(step) != 2:
            raise ValueError(f"step: expected two numbers 0 < least <= most, got {step!r}")
        if _number("step[0]", step[0]) > _number("step[1]", step[1]):
            raise ValueError(f"step: expected two numbers 0 < least <= most, got {step}")
        output, steps = jr.split(key)
        low, high = math.log(step[0]), math.log(step[1])
        shape = self.channels, modes
        self.log_decay = jnp.broadcast_to(jnp.log(jnp.asarray(decay, jnp.float32)), shape)
        self.frequency = jnp.broadcast_to(jnp.asarray(frequency, jnp.float32), shape)
        self.output = jr.normal(output, (*shape, 2)) * math.sqrt(0.5)
        self.log_step = jr.uniform(steps, (self.channels,), minval=low, maxval=high)

    def system(
        self,
    ) -> tuple[Complex[Array, "c modes"], Complex[Array, "c modes"], Complex[Array, "c modes"]]:
        a = -jnp.exp(self.log_decay) + 1j * self.frequency
        step = jnp.exp(self.log_step)[:, None]
        c = 2 * lax.complex(self.output[..., 0], self.output[..., 1])
        if self.rule == "zoh":  # the exact solution for an input that is constant over a step
            return step * a, jnp.expm1(step * a) / a, c
        half = step * a / 2  # the trapezoidal rule
        return jnp.log1p(half) - jnp.log1p(-half), step / (1 - half), c


class Hyena(Filter):
    """A small network of the position, under a window that decays (Poli et al. 2023,
    arXiv:2302.10866, 3.3).

    `weight` and `bias` are a network that takes the position and `bands` pairs of sines of it to
    one number a channel, with `sin(rate h)` between its layers, each unit its own `rate`. The first
    channel's window is down to 1 % after `fast * span` positions, the last one's after
    `slow * span`, the others between.
    """

    weight: tuple[Float[Array, "n m"], ...]
    bias: tuple[Float[Array, " m"], ...]
    rate: Float[Array, " width"]
    channels: int = eqx.field(static=True)
    span: int = eqx.field(static=True)
    bands: int = eqx.field(static=True)
    fast: float = eqx.field(static=True)
    slow: float = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        span: int,
        *,
        width: int = 64,
        depth: int = 3,
        bands: int = 8,
        rate: float = 10.0,
        fast: float = 0.3,
        slow: float = 1.5,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `span`: positions, the unit of time; as a rule the length in training.
        - `width`, `depth`: of the network, whose last layer is linear.
        - `rate`: what all of the sine's rates begin with; larger for rougher kernels.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.channels = positive_int("channels", channels)
        self.span = positive_int("span", span)
        self.bands = positive_int("bands", bands)
        self.fast, self.slow = _number("fast", fast), _number("slow", slow)
        if fast > slow:
            raise ValueError(f"fast: expected 0 < fast <= slow, got {fast} and slow={slow}")
        depth, width = positive_int("depth", depth), positive_int("width", width)
        sizes = [2 * bands + 1, *[width] * depth, self.channels]
        pairs = list(zip(sizes, sizes[1:], jr.split(key, depth + 1), strict=False))
        lecun = initializer("lecun_normal")
        self.weight = tuple(lecun(k, (n, m)) for n, m, k in pairs)
        self.bias = tuple(jnp.zeros(m) for _, m, _ in pairs[:-1])
        self.rate = jnp.full(width, _number("rate", rate))

    def kernel(self, length: int) -> Float[Array, "length c"]:
        time = jnp.arange(length)[:, None] / self.span
        angle = 2 * math.pi * jnp.arange(1, self.bands + 1) * time
        h = jnp.concatenate([time, jnp.cos(angle), jnp.sin(angle)], -1)
        for weight, bias in zip(self.weight[:-1], self.bias, strict=True):
            h = jnp.sin(self.rate * (h @ weight + bias))
        # As large together as one weight of deviation 1, whatever the span.
        values = h @ self.weight[-1] / math.sqrt(self.span)
        decay = math.log(100) / jnp.linspace(self.fast, self.slow, self.channels)
        return values * jnp.exp(-decay * time)


def _number(name: str, value: object, least: float | int | None = None) -> float:
    """A number above 0, or of at least `least`, as a float."""
    right = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not right or (value <= 0 if least is None else value < least):
        expected = "above 0" if least is None else f"of at least {least}"
        raise ValueError(f"{name}: expected a finite number {expected}, got {value!r}")
    return float(value)
