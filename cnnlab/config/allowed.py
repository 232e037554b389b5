"""What each config group may name as a `_target_`, with the kind of every argument.

This list is the whole of what a config, be it composed here or found in a run directory, can have
imported and called: there is no other way in. A target's arguments that the program gives (keys,
shapes, the convolution of a backbone) are not in it, and so can't be configured.
"""

import re
from pathlib import Path

from cnnlab.config.within import WITHIN

SWITCH = "true or false"
_SHARE = "number from 0 to below 1"
_SMALL = "whole number from 1 to 65536"
_COUNT = "whole number >= 1"
_EACH_AXIS = f"{_SMALL} or list of whole numbers from 1 to 65536"
_PADDING = (
    "one of SAME, VALID, CAUSAL or whole number from 0 to 65536 or list of whole numbers from 0 to "
    "65536 or list of lists of 2 whole numbers from 0 to 65536"
)
_ACTIVATION = (
    "one of celu, elu, gelu, hard_sigmoid, hard_swish, hard_tanh, identity, leaky_relu, mish, "
    "relu, relu6, selu, sigmoid, silu, softplus, softsign, square, swish, tanh "
    "or mapping whose _target_ is an activation of jax.nn"
)
_INITIALIZER = (
    "one of he_normal, he_uniform, glorot_normal, glorot_uniform, lecun_normal, lecun_uniform, "
    "orthogonal, dirac, zeros, ones "
    "or mapping whose _target_ is an initializer of jax.nn.initializers"
)


def _registered() -> list[str]:
    """The algorithms' names, read where they are registered: to import that would load jax."""
    registry = Path(__file__).parents[1] / "ops" / "algorithms" / "__init__.py"
    (listed,) = re.findall(r"^_ALL = \((.*?)\)", registry.read_text(), re.MULTILINE | re.DOTALL)
    return [name.lower() for name in re.findall(r"\w+", listed)]


_ALGORITHM = f"one of {', '.join(['auto', 'direct', *_registered()])}"
_CONV = {"padding": _PADDING, "use_bias": SWITCH, "kernel_init": _INITIALIZER}
_UNPADDED = {k: v for k, v in _CONV.items() if k != "padding"}
_GROUPS = {"groups": _SMALL}
_NORM = {"eps": "number > 0", "use_weight": SWITCH, "use_bias": SWITCH}
_PLAN = "list of at least 1 channel counts > 0 and 'M'"
_BLOCKS = {"activation": _ACTIVATION, "kernel_size": _EACH_AXIS}
_VGG = {
    "plan": f"{_PLAN} or one of vgg11, vgg13, vgg16, vgg19",
    **_BLOCKS,
    "pool": "one of max, avg, blur, polyphase, stride",
    "pool_size": _SMALL,
    "pool_padding": "one of SAME, VALID",
    "use_bias": "true or false or null",
    "dropout": _SHARE,
}
_WIDTHS = "list of channel counts > 0"
_POOL = "one of avg, max, sum, flatten"
_READ = {"placement": "one of auto, device, stream", "workers": "whole number from 0 to 64"}
_DATA = {"val_fraction": _SHARE, **_READ}
_SIZE = {"size": "whole number from 1 to 8192 or list of 2 whole numbers from 1 to 8192 or null"}
_FOLDERS = {"data_dir": "path or null"}
_PUBLISHED = {**_DATA, **_SIZE, **_FOLDERS, "source": "path or null"}
_FRACTION = {"test_fraction": _SHARE}
_PICTURES = {
    **_DATA,
    **_SIZE,
    **_FRACTION,
    "channels": "whole number from 1 to 3 or null",
    "depth": "whole number from 8 to 16",
    "white": "number > 0 or null",
    "broken": "one of refuse, skip",
}
_SPLITS = {"train_split": "text", "test_split": "text"}
_SIZES = {"train_size": "whole number >= 2", "test_size": _COUNT, "seed": "whole number >= 0"}
_LENGTH = "whole number from 2 to 16777216"
_GENERATED = {**_DATA, **_SIZES, "length": _LENGTH, "vocabulary": _SMALL}
_RULE = {"lr": "number > 0", "weight_decay": "number >= 0"}
_ADAM = {**_RULE, "b1": _SHARE, "b2": _SHARE, "eps": "number > 0"}
_FACTOR = "number from 0 to 1"
_WEIGHTS = "'balanced' or list of at least 1 numbers > 0 or null"
_MODES = "one of online, offline, disabled"  # of WandB
_PRUNERS = "one of none, median, hyperband"
_TRIAL = {"folder": "path", "number": "whole number >= 0", "pruner": _PRUNERS}
_DEVICES = {"devices": "whole number from 1 to 256 or null"}
_MESH = {**_DEVICES, "launch": f"{_SMALL} or null", "shard_state": SWITCH, "timeout": "number > 0"}
_MESH |= {"processes": f"{_SMALL} or one of auto or null", "process": "whole number >= 0 or null"}
_MESH |= {"coordinator": "text or null"}
# group -> target -> argument -> kind
TARGETS: dict[str, dict[str, dict[str, str]]] = {
    "conv": {
        "cnnlab.nn.factories.dense": {
            **_CONV,
            **_GROUPS,
            "dilation": _EACH_AXIS,
            "padding_mode": "one of zeros, reflect, replicate, circular",
            "algorithm": _ALGORITHM,
        },
        "cnnlab.nn.factories.depthwise": _CONV,
        "cnnlab.nn.factories.depthwise_separable": {**_CONV, "channel_multiplier": _SMALL},
        "cnnlab.nn.factories.dilated": {**_CONV, "dilation": _EACH_AXIS},
        "cnnlab.nn.factories.fully_connected": {**_UNPADDED, "max_weights": _COUNT},
        "cnnlab.nn.factories.grouped": {**_CONV, **_GROUPS},
        "cnnlab.nn.factories.locally_connected": _CONV,
        "cnnlab.nn.factories.long": {
            **_CONV,
            **_GROUPS,
            "filter": "mapping whose _target_ is a filter of cnnlab.nn.filters or null",
        },
        "cnnlab.nn.factories.pointwise": _UNPADDED,
    },
    "norm": {
        "cnnlab.nn.BatchNorm": {**_NORM, "momentum": _SHARE},
        "cnnlab.nn.GroupNorm": {**_NORM, **_GROUPS},
        "cnnlab.nn.LayerNorm": _NORM,
    },
    "backbone": {
        "cnnlab.models.VGG": _VGG,
        "cnnlab.models.ResNet": {"plan": _PLAN, "stem": "one of cifar, imagenet", **_BLOCKS},
        "cnnlab.models.ConvNeXt": {"plan": _PLAN, "patch_size": _SMALL, **_BLOCKS},
        "cnnlab.models.UNet": {"plan": _PLAN, **_BLOCKS, "dropout": _SHARE},
        "cnnlab.models.MLP": {"widths": _WIDTHS, "activation": _ACTIVATION, "dropout": _SHARE},
        "cnnlab.models.SequenceModel": {
            **dict.fromkeys(("width", "depth", "short", "expansion"), _SMALL),
            "filter": "mapping whose _target_ is a filter of cnnlab.nn.filters",
            "dropout": _SHARE,
        },
        "cnnlab.models.prototype": {"activation": _ACTIVATION},
    },
    "head": {
        "cnnlab.models.LinearHead": {"pool": _POOL},
        "cnnlab.models.MLPHead": {
            "hidden": _WIDTHS,
            "pool": _POOL,
            "activation": _ACTIVATION,
            "dropout": _SHARE,
        },
        "cnnlab.models.ConvHead": {"pool": "one of avg, max, sum, none"},
    },
    "data": {
        "cnnlab.data.arrays": {
            **_DATA,
            **_FRACTION,
            "file": "path",
            "task": "one of classification, multilabel, regression, segmentation, tokens",
            "vocabulary": "whole number from 1 to 65536 or null",
            "channels": "one of auto, last, first, none",
            "class_names": "list of at least 1 texts or null",
            "ignore_label": "whole number from 0 to 65535 or null",
        },
        "cnnlab.data.cifar10": {**_PUBLISHED, **_SPLITS},
        "cnnlab.data.cifar100": {**_PUBLISHED, **_SPLITS, "label": "one of fine, coarse"},
        "cnnlab.data.copying": {**_GENERATED, "symbols": _SMALL, "selective": SWITCH},
        "cnnlab.data.digits": {**_DATA, **_SIZE, "test_fraction": "number above 0 to below 1"},
        "cnnlab.data.fake": {
            **_DATA,
            **_SIZE,
            **_SIZES,
            "shape": "list of at least 2 whole numbers from 1 to 65536",
            "num_classes": "whole number from 2 to 65536",
        },
        "cnnlab.data.fashion_mnist": _PUBLISHED,
        "cnnlab.data.fashion_sequence": {
            **_DATA,
            **_FOLDERS,
            "permute": SWITCH,
            "source": "path or null",
        },
        "cnnlab.data.folder": {**_PICTURES, "root": "path"},
        "cnnlab.data.induction": _GENERATED,
        "cnnlab.data.listops": {
            **_DATA,
            **_SIZES,
            **dict.fromkeys(("min_length", "max_length", "depth", "arguments"), _SMALL),
        },
        "cnnlab.data.mnist": _PUBLISHED,
        "cnnlab.data.mnist1d": {**_DATA, "shuffled": SWITCH, "cache": SWITCH},
        "cnnlab.data.quadratic": {
            **_DATA,
            **_SIZES,
            "dimension": "even whole number from 2 to 65536",
        },
        "cnnlab.data.recall": {
            **_GENERATED,
            "pairs": _SMALL,
            "layout": "one of repeated, once",
            "queries": _COUNT,
        },
        "cnnlab.data.scattered_digits": {
            **_DATA,
            **_SIZES,
            "labels": "one of present, sum, map",
        },
        "cnnlab.data.stdlib_bytes": {
            **_READ,
            "length": _LENGTH,
            **dict.fromkeys(("val_fraction", "test_fraction"), "number above 0 to below 0.5"),
        },
        "cnnlab.data.table": {
            **_PICTURES,
            "file": "path",
            "root": "path or null",
            "task": "one of classification, multilabel, regression",
            "image_column": "text",
            "label_column": "text or list of at least 1 texts",
            "label_separator": "text",
            "split_column": "text or null",
            "delimiter": "text",
        },
        "cnnlab.data.tfds_dataset": {
            **_DATA,
            **_SIZE,
            **_FOLDERS,
            **_SPLITS,
            "name": "data set name",
            "image_key": "text",
            "label_key": "text",
        },
    },
    "augment": {
        "cnnlab.data.augment.AlternatingFlip": {"seed": "whole number >= 0"},
        "cnnlab.data.augment.Crop": {
            "padding": "whole number from 0 to 65536",
            "mode": "one of zeros, reflect, edge",
        },
        "cnnlab.data.augment.CutMix": {"alpha": "number > 0"},
        "cnnlab.data.augment.Cutout": {"size": _SMALL},
        "cnnlab.data.augment.Flip": {},
        "cnnlab.data.augment.Mixup": {"alpha": "number > 0"},
        "cnnlab.data.augment.RandomErasing": {
            "probability": _FACTOR,
            "area": "list of 2 numbers above 0 to 1",
            "aspect": "list of 2 numbers > 0",
            "fill": "one of noise, zeros",
        },
        "cnnlab.data.perturb.ColorJitter": {
            "brightness": "number >= 0",
            "contrast": "number >= 0",
            "saturation": "number >= 0",
            "hue": "number from 0 to 0.5",
        },
        "cnnlab.data.perturb.RandAugment": {
            "operations": "whole number from 1 to 16",
            "magnitude": "whole number from 0 to 30",
        },
        "cnnlab.data.perturb.RandomResizedCrop": {
            "area": "list of 2 numbers above 0 to 1",
            "aspect": "list of 2 numbers > 0",
        },
    },
    "loss": {
        "cnnlab.train.losses.CrossEntropy": {"class_weights": _WEIGHTS},
        "cnnlab.train.losses.BinaryCrossEntropy": {"positive_weights": _WEIGHTS},
        "cnnlab.train.losses.MeanSquaredError": {},
        "cnnlab.train.losses.Huber": {"delta": "number > 0"},
        "cnnlab.train.losses.PerPositionCrossEntropy": {"class_weights": _WEIGHTS},
    },
    "optimizer": {
        "cnnlab.train.optim.adafactor": _RULE,
        "cnnlab.train.optim.adam": _ADAM,
        "cnnlab.train.optim.adamw": _ADAM,
        "cnnlab.train.optim.lion": {k: v for k, v in _ADAM.items() if k != "eps"},
        "cnnlab.train.optim.muon": {**_RULE, "momentum": _SHARE, "adam_lr": "number > 0"},
        "cnnlab.train.optim.sgd": {**_RULE, "momentum": _SHARE, "nesterov": SWITCH},
    },
    "schedule": {
        "cnnlab.train.schedules.constant": {"warmup": "duration"},
        "cnnlab.train.schedules.cosine": {"warmup": "duration", "final": _FACTOR},
        "cnnlab.train.schedules.onecycle": {"peak": _FACTOR, "start": _FACTOR, "final": _FACTOR},
        "cnnlab.train.schedules.step": {
            "warmup": "duration",
            "milestones": "increasing list of numbers above 0 to below 1",
            "factor": "number > 0",
        },
    },
    "runtime": {
        "cnnlab.train.parallel.Jit": {},
        "cnnlab.train.parallel.Pmap": _DEVICES,
        "cnnlab.train.parallel.Shard": _MESH,
    },
    "logger": {
        "cnnlab.train.metrics.MLflow": {"experiment": "text", "uri": "text or null"},
        "cnnlab.train.metrics.TensorBoard": {},
        "cnnlab.train.metrics.WandB": {"project": "text", "mode": _MODES},
        "cnnlab.train.trial.Trial": _TRIAL,
    },
    **WITHIN,
}

# Groups of which several may be chosen: a mapping of nodes, in their order.
SEVERAL = ("augment", "logger")
# Groups that runs made before there were such have not in their config: the default is theirs.
LATER = ("loss",)
# Groups that may be null.
OPTIONAL = ("norm",)
# Groups whose node waits for further arguments: it has `_partial_: true`.
PARTIAL_GROUPS = ("conv", "norm", "optimizer", "schedule", "activation", "filter")
