"""Backbones from a plan, heads, the classifier made of both, and transfer between models."""

from .classifier import Classifier
from .export import export
from .features import FeatureInfo, feature_info
from .flatten import Flatten
from .heads import ConvHead, LinearHead, MLPHead
from .mlp import MLP
from .names import named_arrays, with_arrays
from .plan import PLANS, parse_plan
from .transfer import Report, freeze, load_backbone, replace_head
from .vgg import VGG, prototype

__all__ = [
    "MLP",
    "PLANS",
    "VGG",
    "Classifier",
    "ConvHead",
    "FeatureInfo",
    "Flatten",
    "LinearHead",
    "MLPHead",
    "Report",
    "export",
    "feature_info",
    "freeze",
    "load_backbone",
    "named_arrays",
    "parse_plan",
    "prototype",
    "replace_head",
    "with_arrays",
]
