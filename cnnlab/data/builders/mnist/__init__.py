"""MNIST as a TFDS data set."""

from cnnlab.data.builders.mnist.mnist_dataset_builder import Builder as Mnist

__all__ = ["Mnist"]
