"""Does zero padding tell a network where it is? (A 2.5, 4.2; arXiv:2001.08248, 2003.07064)"""

from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.figure import Figure

import cnnlab
from cnnlab import lab, nn
from cnnlab.data import digits
from cnnlab.lab import Cells, Count, Positive, Records, Verdict

ZEROS, TORUS = "zeros", "circular"
MODES = (ZEROS, "reflect", "replicate", TORUS)
SIDE, OBJECT = 32, 8
# Corners of an object: as far from the border, and a multiple of the network's stride apart.
PLACES = (4, 20)
ROUNDING = 1e-5

question = lab.Question(
    "positions_from_padding",
    "Does zero padding tell a network where it is?",
    note="On an image that is the same everywhere, a layer that is equivariant to translations "
    "gives the same everywhere. What zeros at the border change reaches one pixel further in each "
    "3x3 layer. Reflected and repeated borders leave a constant image constant, and break the "
    "symmetry of any other. The trained networks are asked in which of two places a digit lies, at "
    "the upper left or the lower right, as far from the border: they end in a mean over positions.",
)


@question.measure(full={"depths": 8, "images": 120, "networks": 20, "seeds": 5, "steps": 300})
def measure(
    cells: Cells,
    *,
    seed: int,
    depths: Annotated[Count, "layers with random weights"] = 6,
    channels: Annotated[Count, "of these, and of the trained ones"] = 16,
    images: Annotated[Count, "of noise, on which positions are read"] = 60,
    networks: Annotated[Count, "random ones of each kind"] = 10,
    seeds: Annotated[Count, "trained networks"] = 3,
    steps: Annotated[Count, "of training"] = 150,
    batch_size: Count = 32,
    lr: Annotated[Positive, "of Adam, at its highest"] = 0.01,
) -> dict[str, Any]:
    """How constant maps of a constant image are; positions read from maps of noise; the accuracy
    of trained networks that are asked where a digit is."""
    random = lambda mode, seed: untrained(mode, seed, depths, channels, images)
    trained = lambda mode, seed: located(mode, seed, channels, steps, batch_size, lr)
    two = (ZEROS, TORUS)
    return {
        "random": cells.records("random", random, mode=MODES, seed=range(seed, seed + networks)),
        "trained": cells.records("trained", trained, mode=two, seed=range(seed, seed + seeds)),
    }


def untrained(
    mode: str, seed: int, depths: int, channels: int, images: int
) -> list[dict[str, Any]]:
    """After each layer: which positions of a constant image differ from the one in the middle, and
    the share of the variance of a position's row that a linear readout explains on noise."""
    keys = jr.split(jr.key(seed), depths)
    layers = [
        nn.Conv2d(channels if i else 1, channels, 3, padding_mode=mode, key=k)
        for i, k in enumerate(keys)
    ]

    @jax.jit
    def maps(x: Array) -> list[Array]:
        found = []
        for layer in layers:
            found.append(x := jax.nn.relu(layer(x)))
        return found

    noise = np.random.default_rng(seed).standard_normal((images, SIDE, SIDE, 1))
    x = np.concatenate([np.ones((1, SIDE, SIDE, 1)), noise]).astype(np.float32)
    rows = []
    for depth, (of, *moving) in enumerate(map(np.asarray, maps(x)), 1):
        middle = of[SIDE // 2, SIDE // 2]
        differs = np.abs(of - middle).max(-1) > ROUNDING * np.abs(of).max()
        share = explained(np.stack(moving))
        rows.append({"depth": depth, "differs": differs.astype(int).tolist(), "explained": share})
    return rows


def explained(maps: Float[np.ndarray, "n h w c"]) -> float:
    """R^2, on the second half of the maps, of a least-squares readout, fitted on the first half, of
    a position's distance from the middle row."""
    n, h, w, c = maps.shape
    x = np.concatenate([maps.reshape(n, -1, c), np.ones((n, h * w, 1))], -1).astype(np.float64)
    y = np.repeat(np.abs(np.arange(h) - (h - 1) / 2), w)
    half = n // 2
    first = x[:half].reshape(-1, c + 1)
    readout = np.linalg.lstsq(first, np.tile(y, half), rcond=None)[0]
    left = x[half:] @ readout - y
    return float(1 - np.square(left).mean() / y.var())


class Net(eqx.Module):
    """Three convolutions, two max-poolings, the mean over positions, two scores."""

    convs: list[nn.Conv2d]
    linear: nn.Linear

    def __init__(self, channels: int, mode: str, key: PRNGKeyArray) -> None:
        *keys, last = jr.split(key, 4)
        widths = (1, channels, channels, channels)
        self.convs = [
            nn.Conv2d(widths[i], widths[i + 1], 3, padding_mode=mode, key=k)
            for i, k in enumerate(keys)
        ]
        self.linear = nn.Linear(channels, 2, key=last)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        for i, conv in enumerate(self.convs):
            x = nn.MaxPool2d(2)(x) if i else x
            x = jax.nn.relu(conv(x))
        return self.linear(x.mean((-3, -2)))


def located(
    mode: str, seed: int, channels: int, steps: int, batch_size: int, lr: float
) -> dict[str, Any]:
    """Train one network; every test digit at both places: how many of the answers are right, and of
    how many digits they are the same."""
    data = digits()
    train, test = (np.asarray(s.in_memory().image) / 16 for s in (data.train, data.test))
    images, labels = placed(train.astype(np.float32))
    schedule = optax.cosine_decay_schedule(lr, steps)
    net = Net(channels, mode, jr.key(seed))
    fitted = cnnlab.fit(
        net, (images, labels), optimizer=optax.adam(schedule), steps=steps, batch_size=batch_size,
        seed=seed,
    )  # fmt: skip
    images, labels = placed(test.astype(np.float32))
    said = np.asarray(eqx.filter_jit(fitted.model)(jnp.asarray(images)).argmax(-1))
    first, second = said.reshape(2, -1)
    right = int((said == labels).sum())
    return {"right": right, "tests": len(said), "same": int((first == second).sum())}


def placed(objects: Float[np.ndarray, "n h w c"]) -> tuple[np.ndarray, np.ndarray]:
    """Every object at the first place, then every one at the second, on an empty canvas."""
    n = len(objects)
    canvas = np.zeros((2, n, SIDE, SIDE, 1), np.float32)
    for of, place in zip(canvas, PLACES, strict=True):
        of[:, place : place + OBJECT, place : place + OBJECT] = objects
    return canvas.reshape(-1, SIDE, SIDE, 1), np.repeat([0, 1], n)


def accuracy(trained: Records, mode: str) -> lab.Estimate:
    runs = trained.where(mode=mode)
    return lab.estimate([100 * run["right"] / run["tests"] for run in runs])


def read(random: Records, mode: str, depth: int) -> lab.Estimate:
    """The share of variance that a readout explains, over random networks."""
    return lab.estimate(random.where(mode=mode, depth=depth)["explained"])


@question.answer
def answer(random: Records, trained: Records) -> str:
    last, two = max(random["depth"]), (ZEROS, TORUS)
    right = (f"{accuracy(trained, mode).mean:.0f} %" for mode in two)
    shares = (f"{100 * read(random, mode, last).mean:.1f} %" for mode in two)
    return (
        "Yes. Asked in which of two places a digit is, networks with a mean over positions are "
        f"right in {' (zeros) and '.join(right)} (circular padding). Of {last} layers on noise, "
        "untrained, a linear readout explains of the distance from the middle row "
        f"{' and '.join(shares)} of the variance."
    )


@question.claim("A 2.5, 3.1", "a position that differs and is not so near, or one that is and not")
def reach(random: Records) -> Verdict:
    """Zero padding breaks equivariance at the border alone: of a constant image, exactly the
    positions less than n pixels from it differ after n layers 3x3."""
    line = np.arange(SIDE)
    border = np.minimum(line, SIDE - 1 - line)
    near = np.minimum.outer(border, border)
    rows = random.where(lambda r: r["depth"] < SIDE // 2, mode=ZEROS)
    wrong = [int((np.array(r["differs"]) != (near < r["depth"])).sum()) for r in rows]
    return lab.exact(wrong, [near.size] * len(wrong), "positions of constant images")


@question.claim("A 3.2, 4.3", "a position of a constant image that differs from another")
def torus(random: Records) -> Verdict:
    """Convolution is translation equivariant where nothing comes in at the border: with circular
    padding all positions of a constant image are alike."""
    rows = random.where(mode=TORUS)
    return lab.exact([int(np.sum(d)) for d in rows["differs"]], [SIDE**2] * len(rows), "positions")


@question.claim("arXiv:2001.08248", "a network with zeros that tells no more than one on a torus")
def encoded(random: Records) -> Verdict:
    """Networks encode positions through zero padding, untrained ones too: a linear readout of their
    maps explains more of the distance from the middle than with circular padding."""
    last = max(random["depth"])
    shares = (random.where(mode=m, depth=last)["explained"] for m in (ZEROS, TORUS))
    what = f"explained share of variance after {last} layers, zeros - circular"
    return lab.at_least(lab.paired(*shares), 0.0, what)


@question.claim("arXiv:2003.07064", "a network with zeros that is right in less than 95 %")
def exploited(trained: Records) -> Verdict:
    """Convolutional networks can exploit absolute position: with zero padding one learns which of
    two places an object is in, though it ends in a mean over positions."""
    return lab.at_least(accuracy(trained, ZEROS), 95.0, "zeros: right answers, %")


@question.claim("A 4.3", "a digit whose two places are told apart")
def invariant(trained: Records) -> Verdict:
    """With circular padding no network that ends in a mean over positions tells two places apart:
    it gives the same answer at both, so that one of two is right, whatever is learnt."""
    runs = trained.where(mode=TORUS)
    half = [n // 2 for n in runs["tests"]]
    apart = [n - same for n, same in zip(half, runs["same"], strict=True)]
    return lab.exact(apart, half, "digits")


@question.table
def readouts(random: Records) -> lab.Rows:
    """Share of the variance of the distance from the middle row that a linear readout of random
    layers explains, by their number"""
    for mode, rows in random.by("mode").items():
        means = {n: lab.estimate(of).mean for n, of in rows.by("depth", of="explained").items()}
        shown = {str(n): f"{mean:.3f}" for n, mean in means.items()}
        yield {"padding": mode, **shown, "n": len(rows.by("seed"))}


@question.table
def places(trained: Records) -> lab.Rows:
    """Trained: answers that are right, in %, of where a digit is"""
    for mode in trained.by("mode"):
        yield {"padding": mode, **accuracy(trained, mode).columns(".1f")}


@question.figure(10, 3.4)
def positions(figure: Figure, random: Records) -> None:
    """Left: after how many layers a position of a constant image differs from the middle, with
    zeros at the border (white: not after the last). Right: how much of a position a readout of
    random layers explains on noise; mean, lowest and highest of the seeds."""
    left, right = figure.subplots(1, 2)
    first = random.where(mode=ZEROS, seed=min(random["seed"]))
    count = np.sum([1 - np.array(d) for d in first["differs"]], 0) + 1
    image = lab.picture(left, np.where(count > len(first), np.nan, count), title="zeros")
    figure.colorbar(image, ax=left, label="layers until it differs")
    for mode, rows in random.by("mode").items():
        lab.curve(right, rows.by("depth", of="explained"), spread="range", ms=4, label=mode)
    right.set(xlabel="layers", ylabel="variance explained (R²)")
    right.legend(title="padding")


main = lab.command(question)

if __name__ == "__main__":
    main()
