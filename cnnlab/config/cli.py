"""Entry points: Hydra's command line with our checks before it and one-line errors around it."""

import functools
import inspect
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cnnlab.claims import Claim
from cnnlab.config.compose import compose_source
from cnnlab.config.help import help_text
from cnnlab.config.hydra_internals import get_args_parser
from cnnlab.config.interrupts import INTERRUPTED, Interrupts
from cnnlab.config.job import (
    FAILED,
    OK,
    REFUSED,
    Job,
    Jobs,
    Outcome,
    Task,
    full_errors,
    known,
    say,
    shown,
)
from cnnlab.config.launchers import LAUNCHERS, PACKAGE, register
from cnnlab.config.messages import listing, one_line, show
from cnnlab.config.overrides import parse, quote_home, quoted, structural_lines
from cnnlab.config.search import Optuna, check_search
from cnnlab.config.source import VERSION_BASE, Source, default_directory, directory_of_configs
from cnnlab.config.sweep import (
    hydra_lines,
    overrides_of,
    searches,
    settings_of_hydra,
    sweep_jobs,
)
from cnnlab.config.tree import plain
from cnnlab.config.trust import home, take_trust
from cnnlab.console import program, unread
from cnnlab.errors import CnnlabError, ConfigError
from cnnlab.files import lend_matplotlib_a_folder

Rehearse = Callable[[list[DictConfig]], Callable[[DictConfig], object]]
Conclude = Callable[[Path, list[Outcome]], object]
_PAUSE = 1.0  # seconds between two looks at what others are at


def cli(
    config_name: str,
    *,
    config_dir: str | Path | None = None,
    examples: Sequence[str] = (),
    rehearsal: Rehearse | None = None,
    conclude: Conclude | None = None,
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
    - `conclude`: given the folder of a sweep and what its jobs came to, when all have ended.
    """

    def decorate(task: Task) -> Callable[..., object]:
        @functools.wraps(task)
        def main(cfg: DictConfig | None = None) -> object:
            if cfg is not None:
                return task(cfg)
            directory = Path(config_dir) if config_dir is not None else default_directory()
            source = Source(str(directory.resolve()), config_name)
            status = _Command(task, source, examples, rehearsal, conclude).run()
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
        conclude: Conclude | None = None,
    ) -> None:
        self.task = task
        self.source = source
        self.examples = examples
        self.rehearsal = rehearsal
        self.conclude = conclude
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
        except KeyboardInterrupt as stop:
            print("; ".join(["interrupted", *map(str, stop.args)]), file=sys.stderr)
            return INTERRUPTED
        except SystemExit:  # Hydra's, which took it for an error in the config
            if self.interrupts.pressed:
                return INTERRUPTED
            raise
        except Exception as raised:
            error = known(raised)
            if full_errors() or not isinstance(error, CnnlabError):
                raise
            say(f"error: {one_line(error)}")
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
        # Flags first: Hydra's own parser does not find them between overrides.
        flags = [a for a in argv if a not in given]
        configs: dict[tuple[str, ...], DictConfig] = {}
        if sweep:
            configs = sweep_jobs(self.source, args.overrides, self.rehearsal)
        elif args.hydra_help:
            self.source.load(tuple(args.overrides))  # checked before Hydra does as it says
        elif args.shell_completion:
            self.source.load_base()
        else:
            configs = {tuple(args.overrides): compose_source(self.source, args.overrides)}
        for name in trust:
            say(f"trusting {name}: {home(name)}")
        if sweep and not (args.info or args.cfg or args.hydra_help or args.shell_completion):
            return self._sweep(flags, args.overrides, configs)
        job = Job(self.task, self.source, configs, None, self.interrupts)
        self._hand_over([*flags, *args.overrides], job)
        return OK

    def _sweep(
        self, flags: list[str], overrides: list[str], configs: dict[tuple[str, ...], DictConfig]
    ) -> int:
        """Run all jobs; those that others were at, once these have let go of them."""
        hydra_node, folder = settings_of_hydra(self.source, overrides, configs)
        register(hydra_node, (*LAUNCHERS, Optuna))
        if hydra_node.sweeper.get("_target_") == f"{PACKAGE}.{Optuna.__name__}":
            check_search(plain(hydra_node.sweeper), overrides_of(self.source, overrides))
        jobs = Jobs(folder)
        jobs.begin()
        job = Job(self.task, self.source, configs, jobs, self.interrupts)
        place = f"hydra.sweep.dir={quoted(str(jobs.folder))}"
        self._hand_over([*flags, *overrides, place], job)
        if searches(hydra_node.sweeper):
            return self._concluded(jobs.folder, jobs.found())
        while held := [o for o in jobs.all(configs) if o.state == "held"]:
            free = [outcome for outcome in held if Claim(Path(str(outcome.run))).free()]
            for outcome in free:
                lines = [*outcome.overrides, *hydra_lines(overrides), place]
                self._hand_over([*flags, *lines], job)
            if not free:
                time.sleep(_PAUSE)
        return self._concluded(jobs.folder, jobs.all(configs))

    def _concluded(self, folder: Path, outcomes: list[Outcome]) -> int:
        try:
            if self.conclude is not None:
                self.conclude(folder, outcomes)
        except CnnlabError as error:  # what did not fail is there all the same
            say(f"warning: {one_line(error)}")
        names = [
            f"job {number} ({shown(outcome.overrides)}): {outcome.message}"
            for number, outcome in enumerate(outcomes)
            if outcome.state not in ("done", "pruned")
        ]
        if names:
            say(f"error: {len(names)} of {len(outcomes)} jobs failed: {listing(names)}")
        return FAILED if names else OK

    def _hand_over(self, argv: list[str], job: Job) -> None:
        """Let Hydra run the jobs (or answer `--info`, ...), with the flags that it knows."""
        source = self.source
        lend_matplotlib_a_folder()
        run = hydra.main(source.directory, source.name, version_base=VERSION_BASE)(job)
        before, sys.argv = sys.argv, [sys.argv[0], *argv]
        hydra_config = HydraConfig.instance()
        outer = hydra_config.cfg
        self.interrupts.idle = job.jobs is None  # until the job begins
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
