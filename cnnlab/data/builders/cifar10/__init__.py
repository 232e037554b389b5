"""CIFAR-10 as a TFDS data set."""

from cnnlab.data.builders.cifar10.cifar10_dataset_builder import Builder as Cifar10

__all__ = ["Cifar10"]
