"""Wrong things handed to the functions on models: one line that says what is expected."""

import jax.numpy as jnp
import jax.random as jr
import pytest

from cnnlab import models

WRONG = [5, None, "x", [], jnp.ones((2, 2))]
HEAD = models.LinearHead((4,), 2, key=jr.key(0))
BACKBONE = models.MLP((4,), [4], key=jr.key(0))
MODEL = models.Classifier(BACKBONE, HEAD)
CALLS = {
    "the model of replace_head": lambda wrong: models.replace_head(wrong, HEAD),
    "the head of replace_head": lambda wrong: models.replace_head(MODEL, wrong),
    "Classifier's backbone": lambda wrong: models.Classifier(wrong, HEAD),
    "Classifier's head": lambda wrong: models.Classifier(BACKBONE, wrong),
    "feature_info": models.feature_info,
    "the tensors of load_backbone": lambda wrong: models.load_backbone(MODEL, None, wrong),
    "the state of named_arrays": lambda wrong: models.named_arrays(MODEL, wrong),
    "the arrays of with_arrays": lambda wrong: models.with_arrays(MODEL, None, wrong),
    "freeze": lambda wrong: models.freeze(MODEL, wrong),
    "parse_plan": models.parse_plan,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: type(wrong).__name__)
def test_a_type_or_value_error(call, wrong):
    if ("named_arrays" in call and wrong is None) or (call == "freeze" and isinstance(wrong, list)):
        return  # which they take
    with pytest.raises((TypeError, ValueError)):
        CALLS[call](wrong)


def test_the_message_says_what_was_given():
    with pytest.raises(TypeError, match=r"^head: expected a head such as LinearHead, got 5$"):
        models.replace_head(MODEL, 5)
