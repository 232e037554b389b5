"""The lab's own tests for what is yours: a layer, an algorithm, a data set.

    pytest --pyargs cnnlab.testing --layer mylab.Blur --shape 9,7,4 --data mylab.rings

Each option may be given several times. What is named is the thing itself, or what makes it when it
is called without arguments (or with a `key`). Where pytest does not find the options, as cnnlab was
not installed by pip: `-p cnnlab.testing.plugin`.
"""
