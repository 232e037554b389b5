"""Backbones from a plan, heads, the classifier made of both, and transfer between models."""

from cnnlab.models.backbone import Backbone
from cnnlab.models.classifier import Classifier
from cnnlab.models.convnext import ConvNeXt
from cnnlab.models.export import export
from cnnlab.models.features import FeatureInfo, feature_info
from cnnlab.models.flatten import Flatten
from cnnlab.models.heads import ConvHead, LinearHead, MLPHead
from cnnlab.models.mlp import MLP
from cnnlab.models.names import count_parameters, described, named_arrays, with_arrays
from cnnlab.models.plan import PLANS, parse_plan
from cnnlab.models.resnet import ResNet
from cnnlab.models.sequence import SequenceModel
from cnnlab.models.streaming import Stream
from cnnlab.models.transfer import Report, freeze, load_backbone, replace_head
from cnnlab.models.unet import UNet
from cnnlab.models.vgg import VGG, prototype

__all__ = [
    "MLP",
    "PLANS",
    "VGG",
    "Backbone",
    "Classifier",
    "ConvHead",
    "ConvNeXt",
    "FeatureInfo",
    "Flatten",
    "LinearHead",
    "MLPHead",
    "Report",
    "ResNet",
    "SequenceModel",
    "Stream",
    "UNet",
    "count_parameters",
    "described",
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
