"""Fashion-MNIST as a TFDS data set."""

from cnnlab.data.builders.fashion_mnist.fashion_mnist_dataset_builder import Builder as FashionMnist

__all__ = ["FashionMnist"]
