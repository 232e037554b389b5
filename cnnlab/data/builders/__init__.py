"""Builders of this project's own TFDS data sets, each in a package folder of its own.

TFDS looks for a builder's checksums and metadata in the folder of its module. Importing these
modules imports `tensorflow_datasets` (never TensorFlow).
"""
