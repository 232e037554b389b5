"""Entry points: Hydra's command line with our checks before it and one-line errors around it."""

import errno
import functools
import inspect
import os
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cnnlab.config.compose import compose_source
from cnnlab.config.help import help_text
from cnnlab.config.hydra_internals import get_args_parser
from cnnlab.config.interrupts import INTERRUPTED, Interrupts
from cnnlab.config.messages import listing, one_line, show
from cnnlab.config.overrides import parse, quote_home, structural_lines
from cnnlab.config.source import VERSION_BASE, Source, default_directory, directory_of_configs
from cnnlab.config.sweep import sweep_jobs
from cnnlab.config.trust import home, take_trust
from cnnlab.console import program, unread
from cnnlab.errors import CnnlabError, ConfigError, Interrupted
from cnnlab.files import lend_matplotlib_a_folder

Task = Callable[[DictConfig], object]
Rehearse = Callable[[list[DictConfig]], Callable[[DictConfig], object]]
OK, FAILED, REFUSED = 0, 1, 2


def cli(
    config_name: str,
    *,
    config_dir: str | Path | None = None,
    examples: Sequence[str] = (),
    rehearsal: Rehearse | None = None,
) -> Callable[[Task], Callable[..., object]]:
    """Make `main(cfg)` a command: `main()` then reads the command line, and exits on failure.

    All of Hydra's flags work (`-m` sweeps, `--cfg job`, `--info`, launchers and sweepers). All
    configurations, those of all jobs of a sweep, are composed and checked before the first runs.
    A refused configuration exits with status 2, a known failure (CnnlabError) with 1, each with
    one line on stderr; Ctrl-C with 130. Other exceptions keep their traceback. A job of a sweep
    that fails says so and the rest go on; the status is then 1. HYDRA_FULL_ERROR=1 gives the
    traceback of all errors.

    **Arguments:**

    - `config_name`: the primary config; `config_dir`: its directory instead of the project's.
    - `examples`: arguments of the example commands that `--help` shows.
    - `rehearsal`: given the configs of all jobs of a sweep, makes a check of each that goes further
        than its values.
    """

    def decorate(task: Task) -> Callable[..., object]:
        @functools.wraps(task)
        def main(cfg: DictConfig | None = None) -> object:
            if cfg is not None:
                return task(cfg)
            directory = Path(config_dir) if config_dir is not None else default_directory()
            status = _Command(
                task, Source(str(directory.resolve()), config_name), examples, rehearsal
            ).run()
            if status != OK:
                sys.exit(status)
            return None

        return main

    return decorate


class _Command:
    """One call of the command line."""

    def __init__(
        self,
        task: Task,
        source: Source,
        examples: Sequence[str],
        rehearsal: Rehearse | None = None,
    ) -> None:
        self.task = task
        self.source = source
        self.examples = examples
        self.rehearsal = rehearsal
        self.failed: list[str] = []
        self.interrupts = Interrupts()

    def run(self) -> int:
        """Do what the command line says, and give the exit status."""
        try:
            with self.interrupts.heard():
                status = self._run(sys.argv[1:])
            sys.stdout.flush()
            return status
        except BrokenPipeError:
            return unread()
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED
        except SystemExit:  # Hydra's, which took it for an error in the config
            if self.interrupts.pressed:
                return INTERRUPTED
            raise
        except Exception as raised:
            error = _plain(raised)
            if _full_errors() or not isinstance(error, CnnlabError):
                raise
            _say(f"error: {one_line(error)}")
            return REFUSED if isinstance(error, ConfigError) else FAILED

    def _run(self, argv: list[str]) -> int:
        args = _parse_arguments(argv)
        given, (own, trust) = args.overrides, take_trust(args.overrides)
        args.overrides = quote_home(own)
        self.source = self._source(args, trust)
        if args.help:
            print(help_text(self.source, self.task, self.examples, args.overrides))
            return OK
        sweep = args.multirun or self._mode(args) == RunMode.MULTIRUN
        if args.cfg == "job":
            self._show(args)
            return OK
        jobs: dict[tuple[str, ...], DictConfig] = {}
        if sweep:
            jobs = sweep_jobs(self.source, args.overrides, self.rehearsal)
        elif args.hydra_help:
            self.source.load(tuple(args.overrides))  # checked before Hydra does as it says
        elif args.shell_completion:
            self.source.load_base()
        else:
            jobs = {tuple(args.overrides): compose_source(self.source, args.overrides)}
        for name in trust:
            _say(f"trusting {name}: {home(name)}")
        # Flags first: Hydra's own parser does not find them between overrides.
        flags = [a for a in argv if a not in given]
        self._hand_over([*flags, *args.overrides], _Job(self, sweep, jobs))
        if self.failed:
            count = f"{len(self.failed)} of {len(jobs)}" if jobs else str(len(self.failed))
            _say(f"error: {count} jobs failed: {listing(self.failed)}")
        return FAILED if self.failed else OK

    def _hand_over(self, argv: list[str], job: "_Job") -> None:
        """Let Hydra run the jobs (or answer `--info`, ...), with the flags that it knows."""
        source = self.source
        lend_matplotlib_a_folder()
        run = hydra.main(source.directory, source.name, version_base=VERSION_BASE)(job)
        before, sys.argv = sys.argv, [sys.argv[0], *argv]
        hydra_config = HydraConfig.instance()
        outer = hydra_config.cfg
        self.interrupts.idle = not job.sweep  # until the job begins
        try:
            run()
        except SystemExit as stop:  # Hydra has printed why
            if stop.code not in (None, OK):
                raise
        finally:
            sys.argv = before
            hydra_config.cfg = outer  # no job is running any more: Hydra leaves its last one's

    def _source(self, args: Namespace, trust: tuple[str, ...]) -> Source:
        """The source, with the flags --config-name, --config-path and --config-dir."""
        directory = Path(self.source.directory)
        if args.config_path is not None:
            directory = Path(inspect.getfile(self.task)).parent / args.config_path
        extra = None if args.config_dir is None else directory_of_configs(args.config_dir)
        name = args.config_name or self.source.name
        return Source(directory_of_configs(directory), name, extra, trust)

    def _mode(self, args: Namespace) -> RunMode | None:
        """Hydra's mode, which an override or a preset may set to a sweep."""
        if args.hydra_help or args.shell_completion:
            return None
        parsed = parse(args.overrides, self.source, sweep=True)
        try:
            lines = structural_lines(parsed, self.source)
            cfg = self.source.load(lines) if lines else self.source.load_base()
            return cfg.hydra.mode
        except ConfigError:
            return None  # refused with the job's own message

    def _show(self, args: Namespace) -> None:
        cfg = compose_source(self.source, args.overrides, allow_missing=True)
        if args.resolve:
            OmegaConf.resolve(cfg)
        part: object = cfg
        if args.package not in (None, "_global_"):
            part = OmegaConf.select(cfg, args.package)
            if part is None:
                raise ConfigError(f"{args.package}: no such key, or null")
        print(OmegaConf.to_yaml(part) if OmegaConf.is_config(part) else show(part), end="")


class _Job:
    """The task as Hydra calls it, once a job, perhaps in another process."""

    def __init__(
        self, command: _Command, sweep: bool, configs: dict[tuple[str, ...], DictConfig]
    ) -> None:
        functools.update_wrapper(self, command.task)
        self.command = command
        self.sweep = sweep
        self.configs = configs
        self.process = os.getpid()

    def __call__(self, cfg: DictConfig) -> object:
        self.command.interrupts.idle = False
        settings = HydraConfig.get()
        overrides = list(settings.overrides.task)
        number = settings.job.num if self.sweep else None
        name = f"job {number} ({' '.join(overrides)})"
        try:
            cfg = self._config(overrides)
            if not self.sweep:
                return self.command.task(cfg)
            total = f" of {len(self.configs)}" if self.configs else ""
            _say(f"[job {number}{total}] {' '.join(overrides)}")
            return self.command.task(cfg)
        except Interrupted as stop:  # a sweep stops with its job
            _say(one_line(stop))
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.exit(unread())
        except Exception as raised:
            if self.command.interrupts.pressed:
                raise KeyboardInterrupt from raised
            error = _plain(raised)
            if _full_errors() or not (self.sweep or isinstance(error, CnnlabError)):
                raise
            if isinstance(error, CnnlabError):
                _say(f"error: {f'{name}: ' if self.sweep else ''}{one_line(error)}")
            else:
                traceback.print_exception(error)
                _say(f"error: {name}: {type(error).__name__}")
            if not self.sweep:
                sys.exit(REFUSED if isinstance(error, ConfigError) else FAILED)
            if os.getpid() != self.process:  # a launcher's process: Hydra carries it back
                raise CompactHydraException(f"{name} failed") from None
            self.command.failed.append(name)
            return None

    def _config(self, overrides: list[str]) -> DictConfig:
        """The job's checked config: made before the start, or now for a sweeper's own proposals and
        for what only a running job of Hydra's can resolve."""
        ready = self.configs.get(tuple(overrides))
        later = any("${hydra:" in line for line in overrides)
        return compose_source(self.command.source, overrides) if ready is None or later else ready


def _parse_arguments(argv: list[str]) -> Namespace:
    parser: ArgumentParser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message} (settings are written key=value; see {program()} --help)")

    parser.error = refuse
    args = parser.parse_intermixed_args(argv)
    if args.experimental_rerun:
        raise ConfigError(
            "--experimental-rerun: refused, as it would unpickle a file, which can run any code; a "
            "run is repeated by its settings"
        )
    return args


def _plain(error: Exception) -> Exception:
    """A file, a disk or a memory that refuses as a known failure; other errors as they are."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):  # the latter is JAX's
        return CnnlabError(f"out of memory: {str(error).splitlines()[0]}")
    if not isinstance(error, OSError) or error.strerror is None:
        return error
    if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    return CnnlabError(f"{error.filename or 'a file'}: {error.strerror}")


def _full_errors() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
