"""What the entry points say at the end of a run."""

from typing import Any

from cnnlab.train import Experiment


def outcome(experiment: Experiment, result: dict[str, Any], *, known: bool) -> None:
    """One line with the result, one with where it is."""
    if known:
        print("this config is complete; force=true runs it again")
    print(
        f"test accuracy {result['test_accuracy']:.4f}  loss {result['test_loss']:.4f}  "
        f"(n = {result['test_examples']}, {result['parameters']:,} parameters, "
        f"{result['steps']} steps in {result['train_seconds']:.0f} s, "
        f"peak memory {result['peak_memory_mb']} MB)"
    )
    print(f"run directory {experiment.directory.path}")
