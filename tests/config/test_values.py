"""Every key of every command has a kind, which is what `--help` says and what is refused by."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cnnlab.config import ConfigError, build, check_config, compose
from cnnlab.config.allowed import TARGETS
from cnnlab.config.help import help_text
from cnnlab.config.kinds import DURATIONS, check_phrase, choices, read_value
from cnnlab.config.overrides import parse
from cnnlab.config.scale import settle_scale
from cnnlab.config.source import Source, default_directory, job_part
from cnnlab.config.tree import has, plain
from cnnlab.config.values import kind_of, kinds, take_types
from experiments import train

PRIMARY = sorted(file.stem for file in default_directory().glob("*.yaml"))
GIVEN = {
    "compare": ["runs=x"],
    "evaluate": ["run=x"],
    "export": ["run=x", "path=y"],
    "finetune": ["run=x"],
    "predict": ["run=x", "image=y"],
}


def loaded(name):
    source = Source(str(default_directory()), name)
    base = job_part(source.load_base())
    types = take_types(base)
    settle_scale(base, ())
    return source, plain(base), types


@pytest.mark.parametrize("name", PRIMARY)
def test_every_key_has_a_kind_that_its_default_is_of(name):
    _, tree, types = loaded(name)
    written = {key for key in types if "*" not in key}
    for key, _ in kinds(tree, types):
        assert kind_of(key, types) or key.split(".")[-1] in DURATIONS, key
        written.discard(key)
    assert written <= {"profile.start", "profile.steps"}  # below a null
    for more in ([], ["scale=full"] if "scale" in tree else []):
        compose([*GIVEN.get(name, []), *more], name)


@pytest.mark.parametrize("name", PRIMARY)
def test_what_help_lists_can_be_typed_as_it_stands(name):
    source, tree, types = loaded(name)
    page = " ".join(help_text(source, train.main, [], []).split())
    listed = [(key, kind) for key, kind in kinds(tree, types) if choices(kind)]
    groups = {group: node for group, node in tree.items() if group in TARGETS and node}
    for group, node in groups.items():
        for key, kind in TARGETS[group].get(node.get("_target_"), {}).items():
            listed += [(f"{group}.{key}", kind)] if key in node else []
    for key, kind in listed:
        assert kind in page or "." in key
        for choice in choices(kind):
            [override] = parse([f"{key}={choice}"], source)
            value = override.value()
            found = read_value(kind, value, key)
            assert found in (value, [value])
    for group in source.groups():
        given = group in tree and (not tree[group] or "_target_" in tree[group])
        if given:  # and not some settings of a run's own, as `evaluate` has them of `data`
            for choice in source.choices(group):
                value = f"[{choice}]" if group in ("augment", "logger") else choice
                parse([f"{group}={value}"], source)
                assert f" {choice}" in page or f"*{choice}" in page


def test_a_few_of_those_through_the_whole_of_composing():
    for value, expected in [("auto", "auto"), ("true", True), ("false", False)]:
        found = compose(["run=x", "image=y", f"invert={value}"], "predict").invert
        assert repr(found) == repr(expected)
    assert compose(["passes=forward"], "bench_conv").passes == ["forward"]
    assert compose(["algorithms=all"], "bench_conv").algorithms == "all"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("whole number >= 1", [(64.0, 64), (1e2, 100), (1, 1)], [True, "1", 0, 1.5, 2**31, None]),
        ("whole number from 0 to 9 or null", [(None, None), (9.0, 9)], [10, -1, "null", []]),
        ("number above 0 to below 1", [(0.5, 0.5)], [0, 1, float("nan"), float("inf"), False]),
        ("number > 0", [(1, 1), (1e-30, 1e-30)], [0, -1, 10**400, float("inf"), "0.1"]),
        ("odd whole number >= 3", [(3.0, 3)], [4, 1, 3.5]),
        ("true or false", [(True, True)], [1, 0, "true", None]),
        ("'auto' or true or false", [("auto", "auto"), (False, False)], ["false", "Auto", 0]),
        ("one of last, best or path", [("best", "best"), ("a/b", "a/b")], ["", 3, "\0", "x" * 300]),
        ("name", [("a b", "a b")], ["", " ", ".", "..", "a/b", "a\\b", "a\nb", "x" * 201, 5]),
        ("path", [("~/x", str(Path("~/x").expanduser())), ("../x", "../x")], ["", " ", "a\0", 5]),
        ("data set name", [("a/b:1.0.0", "a/b:1.0.0")], ["../x", "a/../b", "/a", "", "a/.."]),
        ("list of 2 numbers", [([1, 2.5], [1, 2.5])], [[1], [1, 2, 3], 1, "ab", {}]),
        ("list of at least 1 names", [(["a"], ["a"])], [[], [""], ["a/b"]]),
        ("increasing list of whole numbers", [([1.0, 2], [1, 2])], [[2, 1], [1, 1]]),
        ("list of different texts", [(["a", "b"], ["a", "b"])], [["a", "a"]]),
        ("list of whole numbers >= 1 and 'M'", [([1.0, "M"], [1, "M"])], [["N"], [0], ["M", None]]),
        ("list of lists of 2 numbers", [([[1, 2]], [[1, 2]])], [[[1]], [1]]),
        ("some of a, b", [("a", ["a"]), (["b", "b"], ["b"])], [[], "c", ["a", 1], None]),
        ("any of a, b", [([], [])], ["c", [None]]),
        ("mapping of a, b", [({"a": 1, "b": 2}, {"a": 1, "b": 2})], [{}, {"a": 1}, [], None]),
        ("duration", [({"steps": 5.0, "epochs": None}, {"steps": 5, "epochs": None})],
         [{"steps": 5, "epochs": 1}, {"stepz": 1}, {"steps": 2.5}, None, 5]),
    ],
)  # fmt: skip
def test_kinds(kind, good, bad):
    check_phrase(kind)
    for value, expected in good:
        assert repr(read_value(kind, value, "x")) == repr(expected)
    for value in bad:
        with pytest.raises(ConfigError, match=r"^x(\[\d\]|\.\w+)*: expected ") as caught:
            read_value(kind, value, "x")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize("kind", ["", "hole number", "list of", "number > x", "one of ", "null or"])
def test_phrases_that_mean_nothing(kind):
    with pytest.raises(ValueError, match="is no kind of value"):
        check_phrase(kind)


# What was once met with a traceback, or taken: overrides of train (several with |), what is said.
WRONG = """
average=abc: average: expected a number from 0 to below 1 or null, got 'abc'
average=true: average: expected a number
clip_norm=abc: clip_norm: expected a number > 0 or null
patience=abc: patience: expected a whole number >= 1 or null, got 'abc'
patience=nan: patience: expected a whole number
patience=1.5: patience: expected a whole number >= 1 or null, got 1.5
label_smoothing=null: label_smoothing: expected a number from 0 to below 1, got null
evaluate_every=null: evaluate_every: expected a mapping (steps, epochs, examples), got null
limit_eval=abc: limit_eval: expected a whole number
seed=null: seed: expected a whole number >= 0, got null
name=null: name: expected a name
name=..: name: expected a name (one component of a path), got '..'
name=.: name: expected a name
name='': name: expected a name
name=../up: name: expected a name
output='': output: expected a path
profile=5: profile: expected a mapping of start, steps or null, got 5
profile={start:5,steps:1,foo:2}: profile: expected a mapping of start, steps
profile={start:5}: profile: expected a mapping of start, steps
profile={start:1,steps:1}: profile.start: expected a whole number >= 2, got 1
batch_size=[1]: batch_size: expected a whole number
batch_size=9223372036854775808: batch_size: expected a whole number
steps=2.5: steps: expected a whole number
epochs=1e400: epochs: expected a number > 0 and at most 3e+38
~log_every.steps: log_every.steps: required
backbone.use_bias=abc: backbone.use_bias: expected true or false or null, got 'abc'
backbone.dropout=1: backbone.dropout: expected a number from 0 to below 1, got 1
data.placement=foo: data.placement: expected one of auto, device, stream, got 'foo'
data.workers=1.5: data.workers: expected a whole number
data=../data/digits: data=../data/digits: no such choice; did you mean digits?
data=tfds|data.name=../x: data.name: expected a data set name
schedule.start=nan: schedule.start: expected a number from 0 to 1, got nan
schedule.final=-1: schedule.final: expected a number from 0 to 1, got -1
schedule=step|schedule.milestones=[0.5,0.2]: schedule.milestones: expected an increasing list
schedule=cosine|schedule.warmup=5: schedule.warmup: expected a duration
optimizer=adam|optimizer.eps=-1: optimizer.eps: expected a number > 0, got -1
optimizer.lr=true: optimizer.lr: expected a number > 0
augment=[crop,crop]: augment: expected each choice once
augment=[crop]|augment.crop.padding=1.5: augment.crop.padding: expected a whole number
norm.eps=0: norm.eps: expected a number > 0
runtime=pmap|runtime.devices=100000: runtime.devices: expected a whole number from 1 to 256 or null
conv.algorithm=winogard: conv.algorithm: expected one of auto, direct, fft, im2col
backbone.activation=rely: backbone.activation: expected one of celu, elu, gelu
conv.kernel_init=he: conv.kernel_init: expected one of he_normal, he_uniform
precision=null: precision: expected one of float32, bfloat16, got null
"""
WRONG = [line.partition(": ")[::2] for line in WRONG.strip().splitlines()]


@pytest.mark.parametrize(("overrides", "says"), WRONG, ids=[w[0] for w in WRONG])
def test_wrong_values_of_train(overrides, says):
    with pytest.raises(ConfigError) as caught:
        compose(overrides.split("|"))
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "override", "says"),
    [
        ("evaluate", "run=null", "run: expected a path, got null"),
        ("evaluate", "run=[1]", "run: expected a path, got [1]"),
        ("evaluate", "split=tset", "split: expected one of test, val, train, got 'tset'"),
        ("evaluate", "data=mnist", "data: not a group of evaluate; data has: size, "),
        ("evaluate", "+data=mnist", "data: not a group of evaluate; data has: size, "),
        ("finetune", "+backbone=vgg", "backbone: not a group of finetune"),
        ("doctor", "experiment=fashion", "experiment: not a group of doctor"),
        ("predict", "top=nan", "top: expected a whole number >= 1, got nan"),
        (
            "predict",
            "image=a,b.png",
            "image: several values, 'a,b.png', need a sweep (-m); a value",
        ),
        ("book", "only=5", "only: expected text or list of texts or null, got 5"),
        ("book", "settings=null", "settings: expected a mapping (tabular, "),
        ("toeplitz", "geometries=0", "geometries: expected a whole number >= 1, got 0"),
        ("toeplitz", "image=[]", "image: expected a list of 2 whole numbers >= 1, got []"),
        ("heads", "seeds=0", "seeds: expected a whole number >= 1, got 0"),
        ("heads", "sizes=[]", "sizes: expected a list of at least 1 whole numbers >= 4, got []"),
        ("receptive_field", "kernels=[]", "kernels: expected a list of at least 1 odd whole"),
        ("parameter_counts", "groups=0", "groups: expected a whole number >= 1, got 0"),
        ("conv_variants", "settings=null", "settings: expected a mapping (mnist1d, fashion_mnist)"),
        (
            "conv_variants",
            "settings.mnist1d=5",
            "settings.mnist1d: expected a mapping (data, plan,",
        ),
        ("bench_conv", "seconds=inf", "seconds: expected a number > 0 and at most 3e+38, got inf"),
        ("sample_efficiency", "repeats=5", "repeats: expected a mapping "),
    ],
)
def test_wrong_values_of_the_others(name, override, says):
    given = [g for g in GIVEN.get(name, []) if g.split("=")[0] != override.split("=")[0]]
    with pytest.raises(ConfigError) as caught:
        compose([*given, override], name)
    assert str(caught.value).startswith(says)


def test_whole_numbers_written_as_floats_are_the_same_run():
    typed = ["batch_size=64.0", "accumulate=2.0", "seed=1.0", "limit_train=1e2"]
    whole = ["batch_size=64", "accumulate=2", "seed=1", "limit_train=100"]
    assert OmegaConf.to_yaml(compose(typed)) == OmegaConf.to_yaml(compose(whole))
    assert compose(["run=~/x", "image=y", "top=3.0"], "predict").top == 3


def test_home_is_expanded_in_every_path():
    home = str(Path.home())
    for name in ("train", "finetune", "evaluate", "predict", "tune"):
        _, tree, types = loaded(name)
        paths = [k for k, kind in types.items() if "path" in kind.split(" ") and has(tree, k)]
        cfg = compose([*GIVEN.get(name, []), *(f"{key}=~/a" for key in paths)], name)
        assert all(OmegaConf.select(cfg, key) == f"{home}/a" for key in paths)
    assert compose(["data.data_dir=~/a"]).data.data_dir == f"{home}/a"


@pytest.mark.parametrize("cfg", [{}, {"seed": 1}, {"data": "${"}])
def test_what_is_no_config_is_refused_in_one_line(cfg):
    with pytest.raises(ConfigError) as caught:
        build(cfg)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cfg", [None, 5, "train", ["seed=1"]])
def test_what_is_no_mapping_is_refused_in_one_line(cfg):
    with pytest.raises(ConfigError, match=r"^cfg: expected a config, from cnnlab\.compose"):
        check_config(cfg)


def test_a_plain_dict_is_a_config():
    tree = OmegaConf.to_container(compose(["seed=3"]))
    for key in ("patience", "log_every", "tta"):  # made before these keys were there
        del tree[key]
    tree["batch_size"] = 32.0
    tree["of_old"] = {"a": 1}
    cfg = check_config(tree)
    assert (cfg.patience, cfg.log_every.steps, cfg.tta) == (None, 50, "none")
    assert repr(cfg.batch_size) == "32"
    with pytest.raises(ConfigError, match=r"^optimizer\.lr: expected a number > 0, got 'x'"):
        check_config({**tree, "optimizer": {**tree["optimizer"], "lr": "x"}})
    with pytest.raises(ConfigError, match=r"^x\._target_: 'os\.system' is refused"):
        check_config({**tree, "x": {"_target_": "os.system"}})
