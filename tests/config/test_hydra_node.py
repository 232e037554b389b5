"""Config files of somebody else: what they say of Hydra imports and writes nothing by itself."""

import sys

import pytest
from hydra.core.config_search_path import SearchPathElement
from hydra.core.config_store import ConfigStore

from cnnlab.config import ConfigError, cli, compose
from cnnlab.config.hydra_node import check_hydra, check_search_path

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
HANDLER = {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "f"}
LOG = "${hydra.runtime.output_dir}/${hydra.job.name}-2.log"
OWN = {
    "mode": "MULTIRUN",
    "launcher": {"_target_": BASIC},
    "sweeper": {"params": {"seed": "1,2"}, "max_batch_size": 3},
    "callbacks": {"x": {"_target_": "hydra.experimental.callbacks.LogJobReturnCallback"}},
    "run": {"dir": "runs/${now:%Y-%m-%d}"},
    "sweep": {"dir": "${oc.select:output,outputs}/s", "subdir": "${hydra.job.num}"},
    "output_subdir": None,
    "job": {"name": "my-job.2", "chdir": True, "env_set": {}, "env_copy": []},
    "verbose": ["mylab"],
    "job_logging": {
        "version": 1,
        "formatters": {"f": {"format": "%(message)s", "datefmt": "%H"}},
        "handlers": {"x": HANDLER, "y": {"class": "logging.FileHandler", "filename": LOG}},
        "loggers": {"a.b": {"level": "DEBUG", "handlers": ["x"], "propagate": False}},
        "root": {"level": "INFO", "handlers": ["x", "y"]},
    },
}


def test_what_files_may_say_of_hydra():
    check_hydra(OWN)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("x._target_", "os.system"),
        ("x._target_", "hydra.utils.call"),
        ("x._target_", "hydra_plugins"),
        ("x._target_", None),
        ("launcher._target_", "hydra_plugins.joblib.Launcher"),
        ("launcher.setup", ["true"]),
        ("callbacks.x._target_", "hydra_plugins.own.Callback"),
        ("callbacks.x._target_", "hydra.experimental.callbacks.PickleJobInfoCallback"),
        ("job.env_set.LD_PRELOAD", "evil.so"),
        ("job.env_set.OMP_NUM_THREADS", "1"),
        ("job.env_copy", ["HOME"]),
        ("job.name", "../../x"),
        ("job.name", "${evil}"),
        ("output_subdir", "x"),
        ("run.dir", "/etc"),
        ("run.dir", "a/../../b"),
        ("run.dir", "${evil}"),
        ("run.dir", "${now:../x}"),
        ("sweep.dir", "/etc"),
        ("sweep.subdir", ".."),
        ("runtime.output_dir", "/etc"),
        ("searchpath", ["pkg://hydra${now:%S}"]),
        ("job_logging.handlers.x.()", "os.system"),
        ("job_logging.handlers.x.class", "os.system"),
        ("job_logging.handlers.x.class", None),
        ("job_logging.handlers.x.class", "logging.handlers.SocketHandler"),
        ("job_logging.handlers.x.class", "cfg://version"),
        ("job_logging.handlers.x.stream", "ext://evil.attribute"),
        ("job_logging.handlers.x.stream", "cfg://handlers"),
        ("job_logging.handlers.x.stream", "${evil}"),
        ("job_logging.handlers.x.filename", "x.log"),
        ("job_logging.handlers.x.filename", "/etc/x.log"),
        ("job_logging.handlers.x.filename", "${hydra.runtime.output_dir}/../x.log"),
        ("job_logging.handlers.x.filename", "${hydra.runtime.output_dir}/.bashrc"),
        ("job_logging.handlers.x.mode", "w"),
        ("job_logging.handlers.x.mailhost", "here"),
        ("job_logging.handlers.x.args", ["ext://evil.attribute"]),
        ("job_logging.handlers.x.filters", [{"()": "os.system"}]),
        ("job_logging.handlers.x.queue", {"()": "os.system"}),
        ("job_logging.formatters.x.()", "os.system"),
        ("job_logging.formatters.x.class", "evil.Formatter"),
        ("job_logging.formatters.x.format", "ext://evil.attribute"),
        ("job_logging.formatters.x.format", "${evil}"),
        ("job_logging.formatters.x.style", "{"),
        ("job_logging.filters.x.()", "os.system"),
        ("job_logging.root.handlers", ["ext://evil.attribute"]),
        ("hydra_logging.loggers.x.level", "ext://evil.attribute"),
    ],
)
def test_what_files_may_not_say_of_hydra(key, value):
    node = value
    for name in reversed(key.split(".")):
        node = {name: node}
    begins = rf"^hydra\.{key.split('.')[0]}\b.*is refused"
    with pytest.raises(ConfigError, match=begins):
        check_hydra(node)


@pytest.mark.parametrize("stream", ["ext://evil.attribute", "cfg://version"])
def test_even_the_command_line_imports_through_logging_nothing(configs, stream):
    line = f"+hydra.job_logging.handlers.x={{class: logging.StreamHandler, stream: '{stream}'}}"
    with pytest.raises(ConfigError, match=r"^hydra\.job_logging\.handlers\.x\.stream: "):
        compose([line], config_dir=configs)


def test_the_command_line_says_to_hydra_what_files_may_not(configs):
    lines = ["+hydra.job.env_set.X=a", "hydra.run.dir=/nowhere", "hydra.job.env_copy=[PATH]"]
    assert compose(lines, config_dir=configs).name == "tiny"


def test_an_installed_plugin_as_it_comes_and_as_the_command_line_changes_it(configs, tmp_path):
    store, plugin = ConfigStore.instance(), "hydra_plugins.cluster.Launcher"
    store.store("slow", {"_target_": plugin, "setup": ["a"], "partition": "b"}, "hydra/launcher")
    text = "defaults: [train, {override hydra/launcher: slow}, _self_]\n"
    (tmp_path / "plain.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text(f"{text}hydra: {{launcher: {{setup: [evil]}}}}\n")
    given = {"config_dir": configs, "extra_dir": tmp_path}
    try:
        compose(["hydra/launcher=slow", "hydra.launcher.partition=c"], **given)
        compose(config_name="plain", **given)
        with pytest.raises(ConfigError, match=r"^hydra\.launcher\.setup\.0: 'evil' is refused"):
            compose(config_name="other", **given)
    finally:
        store.repo["hydra"]["launcher"].pop("slow.yaml")


EVIL = "evil_package_that_is_never_imported"
FILES = {
    "searched": f"hydra: {{searchpath: ['pkg://{EVIL}.configs']}}",
    "logged": "hydra: {job_logging: {handlers: {x: {class: logging.StreamHandler, stream: "
    f"'ext://{EVIL}.x'}}}}}}}}",
    "exported": "hydra: {job: {env_set: {X: a}}}",
    "file": "hydra: {hydra_logging: {root: {level: INFO}, handlers: {x: {class: "
    "logging.FileHandler, filename: written.log}}}}",
    "packaged": "defaults: [{other@hydra.job: set}, _self_]",
    "swept": "hydra: {mode: MULTIRUN, sweeper: {params: {+hydra.job.env_set.X: a}}}",
    "changing": "defaults: [{data: 'digits${now:%S}'}, _self_]",
    "secret": "name: '${oc.env:MY_API_KEY,x}'",
    "decoded": "name: ${oc.decode:x}",
    "named_later": "project: MY_API_KEY\nname: '${oc.env:${project},x}'",
}
GROUPS = {"other/set.yaml": "env_set: {X: a}\n", "backbone/own.yaml": "hydra: {x: 1}\n"}


@pytest.fixture
def evil(configs, tmp_path, monkeypatch):
    """Primary configs of somebody else, beside a package that tells when it is imported."""
    for name, text in FILES.items():
        text = f"defaults: [train, _self_]\n{text}\n" if "defaults" not in text else f"{text}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    for name, text in GROUPS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    package = tmp_path / EVIL
    (package / "configs").mkdir(parents=True)
    for folder in (package, package / "configs"):
        (folder / "__init__.py").write_text("x = 1\n")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MY_API_KEY", "hush")
    yield tmp_path
    assert EVIL not in sys.modules
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        *((name, ()) for name in FILES),
        ("logged", ("--hydra-help",)),
        ("logged", ("--cfg", "hydra")),
        ("searched", ("--info", "searchpath")),
        ("searched", ("-sc", "query=bash")),
    ],
)
def test_a_folder_of_configs_of_somebody_else(evil, configs, monkeypatch, capsys, name, flags):
    command = ["task.py", "-cd", str(evil), "-cn", name, *flags]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    ran = []
    with pytest.raises(SystemExit) as stop:
        cli("train", config_dir=configs)(ran.append)()
    out, err = capsys.readouterr()
    assert (stop.value.code, ran, "hush" in out) == (2, [], False)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "refused" in err


def test_packages_of_configs_are_searched_where_they_are_trusted():
    path = lambda text: [SearchPathElement("hydra.searchpath in main", text)]
    check_search_path(path("file:///anywhere"), ())
    check_search_path(path("here/below"), ())
    check_search_path(path("pkg://cnnlab.configs"), ())
    check_search_path(path("pkg://mylab/configs"), ("mylab",))
    check_search_path([SearchPathElement("plugin", "pkg://elsewhere")], ())
    for text in ("pkg://mylab.configs", "pkg://", "pkg://.mylab", "zip://cnnlab"):
        with pytest.raises(ConfigError, match=r"^hydra\.searchpath: .* is refused"):
            check_search_path(path(text), ("other",))
