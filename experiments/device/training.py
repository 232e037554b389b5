"""Loss curves of all runtimes beside the CPU's, and the runs of two experiments."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.random as jr

from cnnlab import nn
from cnnlab.data import augment
from cnnlab.data.dataset import Dataset
from cnnlab.data.embedded import fake
from cnnlab.data.fetch import DEBIAN_FOLDER
from cnnlab.data.idx import has_idx_files, read_split
from cnnlab.data.loaders import loader
from cnnlab.data.splits import ArraySplit
from cnnlab.models import VGG, Classifier, LinearHead
from cnnlab.train import optim, schedules
from cnnlab.train.evaluate import Evaluator
from cnnlab.train.fit import Fitted, fit
from cnnlab.train.parallel import Jit, Pmap, Runtime, Shard
from cnnlab.train.step import make_judge, make_prepare
from cnnlab.train.tasks import task_of
from cnnlab.train.training import Callback, Training
from experiments.device import Job, one_line, table


@dataclasses.dataclass(frozen=True)
class Preset:
    """What an experiment says: network, length, optimizer, augmentation, and how it is tested."""

    plan: tuple[int | str, ...]
    epochs: float
    lr: float
    augment: tuple[augment.Augmentation, ...]
    tta: str
    batch_size: int = 128
    val_fraction: float = 0.05
    label_smoothing: float = 0.0
    average: float | None = None


# As the configs of these names; a test compares.
PRESETS = {
    "fashion": Preset((16, "M", 32, 32, "M", 64, 64), 4.25, 0.02, (augment.Flip(),), "flip"),
    "vgg_fashion": Preset(
        (32, "M", 64, 64, "M", 128, 128, "M", 256),
        20,
        0.03,
        (augment.Crop(2, "edge"), augment.AlternatingFlip()),
        "shift",
        batch_size=256,
        val_fraction=0.02,
        label_smoothing=0.1,
        average=0.995,
    ),
}
MUON = {"momentum": 0.95, "weight_decay": 0.05, "adam_lr": 3e-3}
# Other sums, other roundings: what 30 steps make of them, of losses of about 1.
CURVE = {"float32": 0.02, "bfloat16": 0.1}
EVALUATION = 5  # seconds left for it


def curves(job: Job) -> list[str]:
    """30 steps from the same weights on the same batches, by every runtime and on the CPU."""
    steps, batch = (3, 8) if job.small else (30, 64)
    data = fake(
        shape=(8, 8, 1) if job.small else (28, 28, 1), train_size=batch * steps, test_size=16
    )
    preset = dataclasses.replace(PRESETS["fashion"], batch_size=batch)
    preset = dataclasses.replace(preset, plan=(4,)) if job.small else preset
    count = len(jax.devices())
    found: dict[str, list[float]] = {}
    notes = []
    runtimes: dict[str, Callable[[], Runtime]] = {
        "jit on the CPU": _on_cpu, "jit": Jit, "pmap": Pmap, "shard": Shard, "jit, bfloat16": Jit,
    }  # fmt: skip
    for name, make in runtimes.items():
        if job.left() <= 0 and found:
            notes.append(f"- {name}: no time left")
            continue
        try:
            # Sums in float32 everywhere, or the curves would differ by the device's short numbers.
            with jax.default_matmul_precision("highest"):
                history = _fit(data, preset, make(), steps, precision=_precision(name)).history
                found[name] = history["loss"].tolist()
        except Exception as error:
            notes.append(f"- {name}: {one_line(error)}")
    if not found:
        return notes
    first = next(iter(found))
    rows = []
    for name, losses in found.items():
        off = max(abs(a - b) for a, b in zip(losses, found[first], strict=True))
        shown = [f"{losses[i]:.5f}" for i in (0, steps // 2, steps - 1)]
        same = f"{off:.1e}{'' if off <= CURVE[_precision(name)] else ' **apart**'}"
        rows.append([name, *shown, "" if name == first else same])
    numbers = [f"loss of step {i + 1}" for i in (0, steps // 2, steps - 1)]
    heading = ["runtime", *numbers, f"largest difference from {first}"]
    about = f"{steps} steps of {batch}, {count} device{'s' if count > 1 else ''}; sums in float32."
    return [about, "", *table(heading, rows), "", *notes]


def _precision(name: str) -> str:
    return "bfloat16" if name.endswith("bfloat16") else "float32"


def run(name: str, precision: str, job: Job) -> list[str]:
    """An experiment's training and test, as far as there is time."""
    preset, runtime = PRESETS[name], Jit()
    data = _fashion(job, preset)
    if job.small:
        preset = dataclasses.replace(preset, batch_size=16, plan=(4, "M", 8))
    total = 4 if job.small else int(preset.epochs * (len(data.train) // preset.batch_size))
    start = time.perf_counter()
    first: list[float] = []  # when the first step is done

    def watch(training: Training) -> bool:
        if not first:
            jax.block_until_ready(training.metrics)
            first.append(time.perf_counter())
        if training.step % 50:
            return False
        jax.block_until_ready(training.metrics)
        return job.left() < EVALUATION

    fitted = _fit(data, preset, runtime, total, [watch], precision=precision)
    seconds = time.perf_counter() - first[0]
    loss, done = fitted.history["loss"][-1], len(fitted.history["loss"])
    judge = make_judge(mean=data.mean, std=data.std, views=preset.tta, compute_dtype=precision)
    batches = loader(data.test, 32 if job.small else 500, seed=0, shuffle=False)
    accuracy = Evaluator(batches, judge, runtime)(fitted.model, fitted.state).accuracy
    cut = "" if done == total else f" of {total} (no time for more, so the rate did not fall to 0)"
    rate = (done - 1) * preset.batch_size / max(seconds, 1e-9)
    return [
        f"- data: {data.name}, {data.origin}; {precision}",
        f"- {done} steps{cut} of {preset.batch_size} in {seconds:.1f} s after "
        f"{first[0] - start:.1f} s to the first ({rate:,.0f} images/s)",
        f"- last loss {loss:.3f}, test accuracy {100 * accuracy:.2f} % (n = {len(data.test):,})",
    ]


fashion = functools.partial(run, "fashion", "float32")
vgg = functools.partial(run, "vgg_fashion", "float32")
vgg_bfloat16 = functools.partial(run, "vgg_fashion", "bfloat16")


def _fit(
    data: Dataset,
    preset: Preset,
    runtime: Runtime,
    steps: int,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> Fitted:
    """The preset's training, of so many steps."""

    def make() -> Classifier:
        body, head = jr.split(jr.key(0))
        backbone = VGG(data.input_shape, preset.plan, norm=nn.BatchNorm, key=body)
        return Classifier(backbone, LinearHead(backbone.out_shape, data.num_classes, key=head))

    model, state = eqx.filter_jit(eqx.nn.make_with_state(make))()
    prepare = make_prepare(
        mean=data.mean,
        std=data.std,
        task=task_of(data),
        transforms=preset.augment,
        label_smoothing=preset.label_smoothing,
        steps_per_epoch=len(data.train) // preset.batch_size,
    )
    return fit(
        model,
        data,
        optimizer=optim.muon(schedules.onecycle(steps), lr=preset.lr, **MUON),
        steps=steps,
        batch_size=preset.batch_size,
        state=state,
        prepare=prepare,
        runtime=runtime,
        average=preset.average,
        callbacks=callbacks,
        **options,
    )


def _on_cpu() -> Jit:
    """The runtime on the host's processor, whatever JAX runs on."""
    runtime = Jit()
    runtime.devices = jax.devices("cpu")[:1]
    return runtime


def _fashion(job: Job, preset: Preset) -> Dataset:
    """Fashion-MNIST where its files are at hand, else made-up images of the same size."""
    if job.small:
        return fake(shape=(28, 28, 1), train_size=64, test_size=32)
    for folder in filter(None, (job.data, DEBIAN_FOLDER)):
        if has_idx_files(Path(folder)):
            read = lambda which, folder=folder: read_split(folder, which, num_classes=10)
            splits = [ArraySplit(*read(which)) for which in ("train", "test")]
            return Dataset.from_splits(
                "fashion_mnist",
                *splits,
                class_names=[f"class {i}" for i in range(10)],
                val_fraction=preset.val_fraction,
                origin=f"read from {folder}",
            )
    return fake(shape=(28, 28, 1), train_size=60_000, test_size=10_000)
