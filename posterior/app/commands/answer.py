"""The commands that answer a question: `posterior sample` and `posterior solve`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posterior.app.drawing import draw, figures_in
from posterior.app.question import pose
from posterior.app.running import answer, plan
from posterior.app.specification import build
from posterior.app.table import is_table, rows, save_csv, table
from posterior.errors import InvalidValueError
from posterior.io.writing import check_writable
from posterior.results import PointEstimate, Samples
from samplers import Sampler, Solver

_TABLE = "summary.csv"


def sample(
    prior: str = "digits",
    sampler: str | list[str] = "TemperedSMC",
    num_samples: int = 64,
    out: Path = Path("results/sample"),
    **question: Any,
) -> None:
    """Draw samples of p(x | y), from images to be measured or from measurements of your own.

    Args:
        prior: Name of a shipped prior, or a folder; a diffusers pipeline's too.
        sampler: Name of a sampler, with settings of your own as in TemperedSMC:accuracy=high,population=2048; given
            several times, or as a list, all of them answer.
        num_samples: Samples of each posterior.
        out: Folder for samples.npz, summary.csv, figures and gifs of the first 20 images, and overview.png of all.
    """
    texts = [sampler] if isinstance(sampler, str) else sampler
    methods = {text: build("sampler", text) for text in texts}
    if len(methods) != len(texts) or not texts:
        raise InvalidValueError(f"give one sampler, or several that differ; got {', '.join(texts) or 'none'}")
    names = [method.name for method in methods.values()]
    called = {method.name if names.count(method.name) == 1 else text: method for text, method in methods.items()}
    _answer(called, "samples", prior=prior, num_samples=num_samples, out=out, **question)


def solve(prior: str = "digits-vae", solver: str = "CSGM", out: Path = Path("results/solve"), **question: Any) -> None:
    """Find a point estimate, one image for each, from images to be measured or measurements of your own.

    Args:
        prior: Name of a shipped prior, or a folder.
        solver: Name of a solver, with settings of your own as in
            ILO:restarts=4,layers=[1,2],radii=[0.2,0.1],steps=[300,200,100].
        out: Folder for estimate.npz, summary.csv, figures of the first 20 images, and overview.png of all.
    """
    method = build("solver", solver)
    _answer({method.name: method}, "estimate", prior=prior, num_samples=1, out=out, **question)


def _answer(
    methods: Mapping[str, Sampler | Solver],
    stem: str,
    *,
    prior: str,
    num_samples: int,
    out: Path,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
    checkpoint: Path | None = None,
    dry_run: bool = False,
    **question: Any,
) -> None:
    """Answer a question with methods; arguments with a default are options of `sample` and of `solve`.

    Args:
        methods: Samplers, or a solver, by what figures and tables call them.
        stem: What files with an answer are called.
        prior: Name or folder of their prior.
        num_samples: How many samples to ask of each.
        out: Where answers go, and figures.
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of the simulated noise and of the method.
        progress: Whether to show progress bars.
        checkpoint: File that is kept up to date, and from which the same command goes on if it was stopped.
        dry_run: Whether to print what the work would cost, in network calls, time and memory, and to do none of it.
    """
    image = question.get("image")
    if image is not None and out.resolve() in (image.resolve(), image.resolve().parent):
        raise InvalidValueError(
            f"--out {out} is where the images are, which figures might replace; name another folder"
        )
    problem, truth, title = pose(prior, seed=seed, **question)
    if dry_run:
        for method in methods.values():
            print(plan(problem, method, num_samples=num_samples, batch_size=batch_size))
        return
    suffixes = {name: "" if len(methods) == 1 else "-" + re.sub(r"[^\w.=,-]+", "-", name) for name in methods}
    earlier, answers = figures_in(out), [out / f"{stem}{suffix}.npz" for suffix in suffixes.values()]
    replaced = [path for path in (out / _TABLE, *answers, *earlier) if path.exists()]
    if replaced and not is_table(out / _TABLE):
        raise InvalidValueError(
            f"--out {out} holds {replaced[0].name}, which is of no earlier run and might be replaced; name another "
            "folder"
        )
    for method in methods.values():
        method.check(problem)
    check_writable(out / _TABLE)  # before the work
    if not replaced:
        save_csv([], out / _TABLE)  # by which the folder is known as one of ours, wherever the run stops
    results: dict[str, Samples | PointEstimate] = {}
    found = []
    for name, method in methods.items():
        kept = None if checkpoint is None else checkpoint.with_stem(checkpoint.stem + suffixes[name])
        try:
            result = answer(
                problem, method, num_samples=num_samples, seed=seed, batch_size=batch_size, progress=progress,
                checkpoint=kept,
            )  # fmt: skip
        except KeyboardInterrupt as stop:
            if kept is None:
                stop.add_note("the unfinished run is not kept; with --checkpoint FILE the same command goes on")
            raise
        results[name] = result
        print(f"{result.summary()}\nsaved to {result.save(out / f'{stem}{suffixes[name]}.npz')}\n")
        found += rows(problem, name, result, truth)
    found.sort(key=lambda row: problem.ids.index(row.measurement))
    for path in earlier:  # they may be of more measurements
        path.unlink()
    if earlier:
        print(f"the {len(earlier)} figures of an earlier run were removed from {out}")
    print(f"{table(found)}\n\nsaved to {save_csv(found, out / _TABLE)}")
    paths = draw(out, problem, results, truth, title, suffixes)
    print(f"figures: {paths[0]}" + (f" … {paths[-1].name}" if len(paths) > 1 else ""))
