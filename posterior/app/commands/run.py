"""The command that answers the measurements of a data set: `posterior run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from posterior.app.bounded_yaml import load_yaml
from posterior.app.config import load_config
from posterior.app.jobs.job import Job
from posterior.app.jobs.ranks import rank_and_size
from posterior.app.jobs.run import Engine, run_job
from posterior.app.jobs.summary import rows_of, summarise
from posterior.app.jobs.worker import one_thread
from posterior.app.running import default_device
from posterior.errors import InvalidValueError, PosteriorError
from samplers.plan import in_bytes, in_time


class AnswersFailedError(PosteriorError):
    """A method failed for some measurements; results of the others are there."""


def run(
    config: Path,
    *,
    prior: str | None = None,
    operator: str | None = None,
    likelihood: str | None = None,
    data: str | None = None,
    methods: str | list[str] | None = None,
    num_samples: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    keep_samples: bool | None = None,
    shard_size: int | None = None,
    batch_size: int | None = None,
    set: str | list[str] | None = None,
    workers: int = 1,
    engine: Engine = "local",
    rank: int | None = None,
    world_size: int | None = None,
    allow_code: bool = False,
    retry_failed: bool = False,
    dry_run: bool = False,
    print_config: bool = False,
    progress: bool = True,
) -> None:
    """Answer all measurements of a data set as a YAML file says; a run that was stopped goes on where it was.

    Args:
        config: YAML file that names prior, operator, likelihood, data and methods, any of the options up to batch_size,
            and maybe a classifier and groups; what is said here takes the place of what it says.
        prior: Name or folder of the prior.
        operator: Forward operator, as in random:fraction=0.3.
        likelihood: Noise, as in gaussian:noise_std=0.1.
        data: What is to be answered, as in pictures:path=photos.
        methods: Samplers and solvers, all of which answer.
        num_samples: Samples of each measurement; 64 unless it is said.
        seed: Seed of simulated data and of all methods; 0 unless it is said.
        out: Folder for the results; results/run unless it is said.
        keep_samples: Whether to keep all samples, beside their mean, standard deviation and quantiles.
        shard_size: Measurements that are answered, and kept, at a time; 8 unless it is said.
        batch_size: Images in one network call at the most; lower it if memory runs out.
        set: A value within a part of the config, as in operator.keep=bottom or methods.0.population=64; may be given
            several times.
        workers: Processes that work at a time, of one thread each; actors of Ray.
        engine: local for processes of this machine, ray for actors of a Ray cluster (RAY_ADDRESS), whose machines see
            the same folders.
        rank: Number of this run, from 0 on, of several that share the folder of results; as torchrun or a Slurm array
            say, unless given.
        world_size: How many there are.
        allow_code: Whether the operator may be a function of a Python file, as in file.py:make_operator, which is run.
        retry_failed: Whether to answer measurements again for which a method failed, and those of their shards.
        dry_run: Whether to print what the work would cost, in network calls, time and disk, and to do none of it.
        print_config: Whether to print the config with all its values, and to do nothing.
        progress: Whether to show a progress bar.
    """
    given: dict[str, Any] = {
        "prior": prior,
        "operator": operator,
        "likelihood": likelihood,
        "data": data,
        "methods": None if methods is None else _listed(methods),
        "num_samples": num_samples,
        "seed": seed,
        "out": None if out is None else str(out),
        "keep_samples": keep_samples,
        "shard_size": shard_size,
        "batch_size": batch_size,
    }
    asked = load_config(
        config,
        {k: v for k, v in given.items() if v is not None} | _assignments(_listed(set or [])),
    )
    number, count = rank_and_size(rank, world_size)
    if workers < 1:
        raise InvalidValueError(f"--workers is at least 1; got {workers}")
    if print_config:
        print(asked, end="")
    elif dry_run:
        with one_thread():  # as the job is done
            print(_plan(Job(asked, allow_code=allow_code, device=default_device()), workers * count))
    else:
        store = run_job(
            asked, workers=workers, engine=engine, rank=number, world_size=count, allow_code=allow_code,
            retry_failed=retry_failed, progress=progress,
        )  # fmt: skip
        left = [shard for shard in range(store.num_shards) if not store.is_finished(shard)]
        print(f"{len(left)} of {store.num_shards} shards are left to other runs" if left else summarise(store))
        if failed := [row for row in rows_of(store, range(number, store.num_shards, count)) if row.error]:
            raise AnswersFailedError(
                f"{len(failed)} of the answers failed, the first that of {failed[0].method} for measurement "
                f"{failed[0].measurement}: {failed[0].error}; all others are kept, and --retry_failed tries again"
            )


def _listed(words: str | list[str]) -> list[str]:
    return [words] if isinstance(words, str) else words


def _assignments(texts: list[str]) -> dict[str, Any]:
    """Values by key, from words key=value."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        try:
            found[key] = load_yaml(value)
        except yaml.YAMLError as error:
            raise InvalidValueError(f"--set {text}: {error}") from error
        if not equals:
            raise InvalidValueError(f"--set {text}: write key=value, as in operator.keep=bottom")
    return found


def _plan(job: Job, processes: int) -> str:
    """What a job would cost, by so many processes, or as many as there are shards."""
    job.check()
    plans = job.plans()
    shards = -(-len(job.ids) // job.shard_size)
    processes = min(processes, shards)
    seconds = sum(plan.seconds for plan in plans.values()) / shards * -(-shards // processes)
    disk = sum(axes.nbytes(len(job.ids)) for axes in job.layout().values())
    return "\n".join([
        *(str(plan) for plan in plans.values()),
        f"in all: {len(job.ids):,} measurements, {shards:,} shards of {job.shard_size}; about {in_time(seconds)} "
        f"by {processes} process{'es' * (processes > 1)}; {in_bytes(disk)} on disk, before compression",
    ])  # fmt: skip
