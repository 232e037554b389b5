"""A run directory's `config.yaml` is data: whatever it holds, nothing of it is run."""

import time

import pytest
from omegaconf import OmegaConf

from cnnlab.config import ConfigError, build, compose, load_config, load_predictor, load_run

RUN = ["data=fake", "data.shape=[8,8,1]", "backbone.plan=[4]", "norm=batch"]


@pytest.fixture
def run(tmp_path):
    """Writes a run directory's config: a text, bytes, or changes to a good one."""

    def write(content):
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        if isinstance(content, dict):
            tree = OmegaConf.to_container(compose(RUN), resolve=True)
            content = OmegaConf.to_yaml(OmegaConf.create({**tree, **content}))
        data = content if isinstance(content, bytes) else content.encode()
        (folder / "config.yaml").write_bytes(data)
        return folder

    return write


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no config of|required|expected a mapping"),
        (b"\0\1\2", "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"just words", "damaged"),
        (b"- 1\n- 2\n", "damaged"),
        (b"a: [unclosed\n", "damaged"),
        (b"a: 1\na: 2\n", "damaged"),
        (b"1: 2\n", "damaged"),
        (b"x: !!python/object/apply:os.system ['true']\n", "damaged"),
        (BOMB.encode(), "aliases"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "nested"),
        (b"a: " + b"x" * 200_000, "more than 100,000 bytes"),
        (b"x: [" + b"1, " * 3000 + b"1]", "more than 2,000 values"),
        (b"seed: 0x" + b"f" * 50_000, "more than 4,096 characters"),
        (b"seed: 0x" + b"f" * 4_000, "seed: expected .* a number of 16,000 bits|data: required"),
        (b"seed: 1" + b":59" * 1_000 + b".5", "damaged"),
        (b"seed: 1\n", "data: required"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_damaged_files_are_refused_in_one_line_and_soon(run, content, says):
    folder = run(content)
    start = time.process_time()
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(folder)
    assert time.process_time() - start < 5
    assert str(caught.value).startswith("run: ")
    assert "config.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"norm": {"_target_": "cnnlab.ops.native.engine.load", "file": "figures/curves.png"}},
         r"norm\._target_: 'cnnlab\.ops\.native\.engine\.load' is refused"),
        ({"head": {"_target_": "cnnlab.ops.table.remember", "entries": {}, "platform": "cpu"}},
         r"head\._target_: .* is refused"),
        ({"backbone": {"_target_": "cnnlab.files.replace_file", "path": "x"}},
         r"backbone\._target_: .* is refused"),
        ({"conv": {"_target_": "cnnlab.train.metrics.JsonLines", "path": "x", "upto": 0}},
         r"conv\._target_: .* is refused"),
        ({"data": {"_target_": "os.system", "command": "true"}}, r"data\._target_: .* is refused"),
        ({"extra": [{"_target_": "os.system"}]}, r"extra\.0\._target_: .* is refused"),
        ({"seed": "${oc.env:HOME}"}, r"seed: expected a value, got '\$\{oc\.env:HOME\}'"),
        ({"batch_size": "x"}, "batch_size: expected a whole number"),
        ({"name": "../../up"}, "name: expected a name"),
        ({"head": {"_target_": "cnnlab.models.LinearHead", "pool": 5}}, r"head\.pool: expected"),
        ({"evaluate_every": None}, "evaluate_every: expected a mapping"),
        ({"augment": {"x": 1}}, r"augment\.x: not chosen"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_a_config_of_others_may_not_say(run, changes, says, monkeypatch, tmp_path):
    folder = run(changes)
    monkeypatch.chdir(tmp_path)
    for load in (load_config, load_run, load_predictor):
        with pytest.raises(ConfigError, match=rf"^run: .*config\.yaml: {says}") as caught:
            load(folder)
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "config.yaml"]


def test_a_config_of_an_earlier_version_is_completed(run):
    cfg = compose(RUN)
    new = run({})
    assert load_config(new) == OmegaConf.to_container(cfg, resolve=True)
    text = (new / "config.yaml").read_text()
    older = "".join(line for line in text.splitlines(True) if not line.startswith("patience"))
    assert older != text
    assert build(load_config(run(older))).settings == build(cfg).settings
