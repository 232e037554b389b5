"""Kernels that are the response of states which decay and turn: a recurrence, too."""

import abc
import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from cnnlab.arguments import one_of, positive_int
from cnnlab.nn.filters.base import Filter, ends


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
        output, steps = jr.split(key)
        low, high = map(math.log, ends("step", step))
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


class EMA(Diagonal):
    """Moving averages that decay exponentially, each damped (Ma et al. 2022, arXiv:2209.10655,
    3.1): `h = alpha beta u + (1 - alpha delta) h`, `y = sum(eta h) / sqrt(modes)` over `modes`
    averages of each channel.

    `alpha` and `delta`, between 0 and 1, are kept as logits.
    """

    alpha: Float[Array, "c modes"]
    delta: Float[Array, "c modes"]
    beta: Float[Array, "c modes"]
    eta: Float[Array, "c modes"]
    channels: int = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        *,
        modes: int = 16,
        span: Sequence[float] = (2.0, 1000.0),
        key: PRNGKeyArray,
    ):
        """**Arguments:** `span`: what the averages of a channel keep has shrunk to 1 / e after so
        many positions, as they begin: from the one to the other, evenly in their logarithm.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.channels, modes = positive_int("channels", channels), positive_int("modes", modes)
        least, most = ends("span", span, 1)
        share = jnp.geomspace(least, most, modes) ** -0.5  # alpha and delta: of the decay a half
        logit = jnp.log(share / (1 - share))
        shape = self.channels, modes
        self.alpha = self.delta = jnp.broadcast_to(logit, shape)
        beta, eta = jr.split(key)
        self.beta, self.eta = jr.normal(beta, shape), jr.normal(eta, shape)

    def system(
        self,
    ) -> tuple[Complex[Array, "c modes"], Complex[Array, "c modes"], Complex[Array, "c modes"]]:
        alpha, delta = jax.nn.sigmoid(self.alpha), jax.nn.sigmoid(self.delta)
        c = self.eta / math.sqrt(self.eta.shape[1])
        whole = lambda part: lax.complex(part, jnp.zeros_like(part))
        return whole(jnp.log1p(-alpha * delta)), whole(alpha * self.beta), whole(c)
