"""CIFAR-100 as a TFDS data set."""

from cnnlab.data.builders.cifar100.cifar100_dataset_builder import Builder as Cifar100

__all__ = ["Cifar100"]
