"""The question `long_memory`: a tiny scale, and its judge on made-up data."""

from experiments.long_memory import FILTERS, question


def test_tiny(tiny):
    result = tiny(
        "long_memory", "lengths=[16]", "channels=2", "steps=1", "batch_size=2", "seeds=1",
        "most_seeds=1", "rates=[0.01]",
    )  # fmt: skip
    found = result["data"]["remembered"]
    assert len(found) == 3 and all(0 <= row["accuracy"] <= 1 for row in found)


def made_up(**lost):
    return {
        "lengths": [32, 512],
        "remembered": [
            {"filter": f, "length": n, "seed": seed, "accuracy": 0.99 + 0.001 * seed - less}
            for f in FILTERS
            for n, less in ((32, lost.get("near", 0)), (512, lost.get(f, 0)))
            for seed in range(3)
        ],
    }


def test_the_judge(verdicts):
    assert verdicts(question, made_up()) == {"near": "holds", "far": "holds"}
    assert verdicts(question, made_up(hyena=0.2)) == {"near": "holds", "far": "fails"}
    assert verdicts(question, made_up(explicit=0.2)) == {"near": "holds", "far": "holds"}
    assert verdicts(question, made_up(near=0.2))["near"] == "fails"
    # What has learnt nothing says nothing.
    assert verdicts(question, made_up(near=0.6)) == dict.fromkeys(("near", "far"), "inconclusive")
    assert verdicts(question, made_up(explicit=0.6, hyena=0.6, s4d=0.6)) == {
        "near": "holds", "far": "inconclusive",
    }  # fmt: skip
