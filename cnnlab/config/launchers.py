"""Launchers of sweeps: several jobs at once, on this machine or on a cluster.

Each only has to run calls and to wait for them: what a job came to is in the sweep's folder, which
all machines share. Hydra finds them under the name `hydra_plugins.cnnlab`, the only place where it
looks for such.
"""

import dataclasses
import importlib.util
import os
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from cnnlab.config.job import Job, say
from cnnlab.errors import ConfigError

PACKAGE = "hydra_plugins.cnnlab"


@dataclasses.dataclass(frozen=True)
class Call:
    """One job, to be called in any process that sees the same files."""

    context: HydraContext
    config: DictConfig
    task: Job
    folder: str

    @property
    def overrides(self) -> list[str]:
        """The job's settings."""
        return list(self.config.hydra.overrides.task)

    def ended(self) -> bool:
        """Whether it said what it came to."""
        assert self.task.jobs is not None
        return self.task.jobs.ended(self.overrides)

    def __call__(self) -> None:
        os.chdir(self.folder)
        setup_globals()  # the resolvers `now` and `hydra`
        run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=self.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

    def checkpoint(self) -> Any:
        """What submitit does where its time is up: the same once more, which goes on by itself."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SeveralAtOnce(Launcher):
    """Hydra's part of a launcher; `run` is the rest.

    **Arguments:** those of its config.
    """

    package = ""  # that it needs
    extra = "sweeps"  # of ours that brings it

    def __init__(self, **options: Any) -> None:
        of = lambda v: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v
        self.options: dict[str, Any] = {name: of(value) for name, value in options.items()}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        assert isinstance(task_function, Job)
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs, and wait for all; one that fails or whose process dies hinders no other."""
        assert self.task.jobs is not None
        calls = [self._call(lines, initial_job_idx + i) for i, lines in enumerate(job_overrides)]
        self.run(calls)
        return [
            JobReturn(list(o.overrides), status=JobStatus.COMPLETED, _return_value=o.objective)
            for o in self.task.jobs.all(call.overrides for call in calls)
        ]

    def _call(self, overrides: Sequence[str], number: int) -> Call:
        cfg = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(cfg):
            cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
        context = HydraContext(None, self.context.callbacks)  # pyrefly: ignore
        task = self.task.only(list(cfg.hydra.overrides.task))
        return Call(context, cfg, task, os.getcwd())

    @abstractmethod
    def run(self, calls: list[Call]) -> None:
        """Make the calls, and return when all have ended, however they did."""


class Joblib(SeveralAtOnce):
    """`n_jobs` processes of this machine, which take one job after the other."""

    package = "joblib"

    def run(self, calls: list[Call]) -> None:
        from joblib.externals.loky import get_reusable_executor

        left, before = calls, len(calls) + 1
        try:
            while 0 < len(left) < before:  # as long as some end
                self._try(left, **self.options)
                left, before = [call for call in left if not call.ended()], len(left)
            for call in left:  # one of them ends its process, and would the others' again
                self._try([call], n_jobs=2)  # in a process of its own, as 1 would not be
        finally:  # joblib would keep its processes for what comes after
            get_reusable_executor(reuse=True).shutdown(wait=True)

    def _try(self, calls: list[Call], **options: Any) -> None:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import BrokenProcessPool

        try:
            Parallel(backend="loky", batch_size=1, **options)(delayed(call)() for call in calls)
        except BrokenProcessPool:  # one died, and all are ended
            say("a process of joblib's died: the jobs that had not ended begin again")


class _Submitit(SeveralAtOnce):
    package = "submitit"

    def executor(self, cluster: str, options: Mapping[str, Any]) -> Any:
        import submitit

        assert self.task.jobs is not None
        folder = self.task.jobs.folder / "submitit" / "%j"
        say(f"logs of the jobs are in {folder.parent}")
        executor = submitit.AutoExecutor(folder, cluster)
        executor.update_parameters(**{k: v for k, v in options.items() if v is not None})
        return executor


class SubmititLocal(_Submitit):
    """A process of this machine for each job, `n_jobs` at once, their output in files."""

    def run(self, calls: list[Call]) -> None:
        options = dict(self.options)
        at_once, waiting, running = options.pop("n_jobs"), calls[::-1], []
        executor = self.executor("local", options)
        try:
            while waiting or running:
                running = [job for job in running if not job.done()]
                while waiting and len(running) < at_once:
                    running.append(executor.submit(waiting.pop()))
                time.sleep(0.1)
        except BaseException:
            for job in running:
                job.cancel()
            raise


class SubmititSlurm(_Submitit):
    """A job array of SLURM's. Without its results, which would be unpickled, being read."""

    def run(self, calls: list[Call]) -> None:
        executor = self.executor("slurm", self.options)
        with executor.batch():
            jobs = [executor.submit(call) for call in calls]
        say(f"submitted to SLURM: {', '.join(job.job_id for job in jobs)}")
        for job in jobs:
            job.wait()


class Ray(SeveralAtOnce):
    """Tasks of a Ray cluster: that of `address`, or one of this machine's for the time of the
    sweep."""

    package = extra = "ray"

    def run(self, calls: list[Call]) -> None:
        import ray

        options = dict(self.options)
        cluster = {"address": options.pop("address"), **options.pop("init")}
        begun = not ray.is_initialized()
        if begun:
            ray.init(**{name: value for name, value in cluster.items() if value is not None})
        try:
            remote = ray.remote(**options, max_retries=0)(Call.__call__)
            for task in [remote.remote(call) for call in calls]:
                try:
                    ray.get(task)
                except ray.exceptions.RayError as error:
                    say(f"Ray: {str(error).splitlines()[0]}")
        finally:
            if begun:
                ray.shutdown()


LAUNCHERS = (Joblib, SubmititLocal, SubmititSlurm, Ray)


def register(hydra_node: DictConfig, plugins: Sequence[Any] = LAUNCHERS) -> None:
    """Make Hydra know its plugins of ours.

    **Raises:** `ConfigError` where one of them is chosen whose package is not installed.
    """
    ours = {f"{PACKAGE}.{plugin.__name__}": plugin for plugin in plugins}
    Plugins.instance().class_name_to_class.update(ours)
    for kind in ("launcher", "sweeper"):
        plugin = ours.get(hydra_node[kind].get("_target_"))
        if plugin is not None and importlib.util.find_spec(plugin.package) is None:
            raise ConfigError(
                f"hydra/{kind}: {plugin.package} is not installed; get it with: "
                f"pip install 'cnnlab[{plugin.extra}]'"
            )
