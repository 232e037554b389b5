"""What may stand within a config's node, with the kind of every argument: activations, filters,
initialisers. A part of the list of `config.allowed`."""

_SWITCH = "true or false"
_SMALL = "whole number from 1 to 65536"
_COUNT = "whole number >= 1"
# jax.nn's activations without arguments, and its initialisers by name.
_PLAIN = ("hard_sigmoid", "hard_swish", "hard_tanh", "log_sigmoid", "mish", "relu", "relu6", "selu")
_PLAIN += ("sigmoid", "silu", "soft_sign", "softplus", "tanh")
_FANS = ("glorot", "he", "kaiming", "lecun", "xavier")
_POLES = {"poles": "one of lin, inv, legs, real", "rule": "one of zoh, bilinear"}

# group -> target -> argument -> kind
WITHIN: dict[str, dict[str, dict[str, str]]] = {
    "activation": {
        "jax.nn.celu": {"alpha": "number > 0"},
        "jax.nn.elu": {"alpha": "number > 0"},
        "jax.nn.gelu": {"approximate": _SWITCH},
        "jax.nn.leaky_relu": {"negative_slope": "number"},
        **{f"jax.nn.{name}": {} for name in _PLAIN},
        "jax.nn.squareplus": {"b": "number >= 0"},
    },
    "filter": {
        "cnnlab.nn.filters.EMA": {"modes": _SMALL, "span": "list of 2 numbers > 1"},
        "cnnlab.nn.filters.Explicit": {
            "max_length": _COUNT,
            "squash": "number >= 0",
            "smoothing": "whole number >= 0",
        },
        "cnnlab.nn.filters.Hyena": {
            "span": _COUNT,
            **dict.fromkeys(("width", "depth", "bands"), _SMALL),
            **dict.fromkeys(("rate", "fast", "slow"), "number > 0"),
        },
        "cnnlab.nn.filters.S4D": {"modes": _SMALL, "step": "list of 2 numbers > 0", **_POLES},
        "cnnlab.nn.filters.SGConv": {"span": _COUNT, "size": _SMALL, "decay": "number >= 0"},
    },
    "initializer": {
        **{f"jax.nn.initializers.{name}_normal": {} for name in _FANS},
        **{f"jax.nn.initializers.{name}_uniform": {} for name in _FANS},
        "jax.nn.initializers.constant": {"value": "number"},
        "jax.nn.initializers.normal": {"stddev": "number >= 0"},
        "jax.nn.initializers.orthogonal": {"scale": "number"},
        "jax.nn.initializers.truncated_normal": {"stddev": "number >= 0"},
        "jax.nn.initializers.uniform": {"scale": "number"},
    },
}
