"""The command line: `posterior demo | sample | solve | calibrate | fairness | train | priors`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from posterior.app import registry
from posterior.app.checks import calibration, priors_check
from posterior.app.compare import default_device, report, run
from posterior.app.demo import demo
from posterior.app.fairness import fairness_study
from posterior.app.parsing import one_line_errors, parse
from posterior.app.train import train_flow, train_score, train_vae
from posterior.data import load_images
from posterior.errors import InvalidValueError
from posterior.figures import posterior_figure, save_figure, save_gif, uncertainty_figure
from posterior.figures.overview import evenly
from posterior.likelihoods import GaussianLikelihood
from posterior.methods import Method
from posterior.noise import Noise
from posterior.priors.checkpoints import convert_edm, convert_ncsnv2, convert_score_sde, convert_stylegan2
from posterior.priors.zoo import list_priors, load_prior, prior_card
from posterior.problem import Posterior
from posterior.results import Samples

_DESCRIPTION = "Draw posterior samples in imaging inverse problems, say how far they can be trusted, compare with MAP."
_FIGURES = 20  # drawn of a batch at the most
_FRAMES = 64  # of a gif


def sample(
    prior: str = "digits",
    sampler: str = "TemperedSMC",
    num_samples: int = 64,
    out: Path = Path("results/sample"),
    **question: Any,
) -> None:
    """Draw samples of p(x | y), from images to be measured or from measurements of your own.

    Args:
        prior: Name of a shipped prior (see `posterior priors list`), or a folder; a diffusers pipeline's too.
        sampler: TemperedSMC (any prior), AuxiliaryGibbs, AuxiliaryMH, ReplicaExchange, AnnealedLangevin,
            AnnealedLangevin.jalal2021, DAPS, DDNM, DDRM, DPS, DiffPIR, MCGDiff, MMPS, PiGDM, PnPDM, PnPLangevin,
            PredictorCorrector, TDS or TMPD (score priors), HMC or LatentLangevin (generators and flows),
            ComposedFlow, AmbientVI, FlowHMC or PLMCMC (flows), with settings of your own as in
            TemperedSMC:accuracy=high,population=2048.
        num_samples: Draws of each posterior.
        out: Folder for samples.npz, and for figures and a gif of the draws of each of the first 20 images.
    """
    method = registry.build("sampler", registry.SAMPLERS, sampler)
    _answer(method=method, prior=prior, num_samples=num_samples, file=out / "samples.npz", **question)


def solve(prior: str = "digits-vae", solver: str = "CSGM", out: Path = Path("results/solve"), **question: Any) -> None:
    """Find a point estimate, one image for each, from images to be measured or measurements of your own.

    Args:
        prior: Name of a shipped generator (see `posterior priors list`), or a folder.
        solver: CSGM, PULSE or ILO (generators), REDDiff (score priors), Lasso, TotalVariation or BM3D (of the prior
            they use the images' shape alone), with settings of your own as in
            ILO:restarts=4,layers=[1,2],radii=[0.2,0.1],steps=[300,200,100].
        out: Folder for estimate.npz and for figures of the first 20 images.
    """
    method = registry.build("solver", registry.SOLVERS, solver)
    _answer(method=method, prior=prior, num_samples=1, file=out / "estimate.npz", **question)


def priors_list() -> None:
    """List the shipped priors."""
    names = list_priors()
    for name in names:
        print(f"{name:{max(map(len, names))}}  {prior_card(name).splitlines()[2]}")


def priors_show(name: str) -> None:
    """Print the card of a shipped prior: data, licence, training, held-out error.

    Args:
        name: Its name.
    """
    print(prior_card(name))


def _saying_where(convert: Callable[..., Path]) -> Callable[..., None]:
    """The same function as a command, with its arguments and their explanations."""

    @wraps(convert)
    def command(*args: Any, **kwargs: Any) -> None:
        print(f"saved to {convert(*args, **kwargs)}")

    return command


COMMANDS: dict[str, Any] = {
    "demo": demo,
    "sample": sample,
    "solve": solve,
    "train": {"_help": "Train a prior of your own.", "score": train_score, "vae": train_vae, "flow": train_flow},
    "priors": {
        "_help": "See what the shipped priors are, check one, or convert a checkpoint to one.",
        "list": priors_list,
        "show": priors_show,
        "check": priors_check,
        "convert": {
            "_help": "Make a prior of a checkpoint of another project; code that is pickled in it is never run.",
            "stylegan2": _saying_where(convert_stylegan2),
            "ncsnv2": _saying_where(convert_ncsnv2),
            "edm": _saying_where(convert_edm),
            "score-sde": _saying_where(convert_score_sde),
        },
    },
    "calibrate": calibration,
    "fairness": fairness_study,
}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake ends in one line on stderr, without a traceback."""
    with one_line_errors():
        parse(args, COMMANDS, _DESCRIPTION)()


def _answer(
    *,
    method: Method,
    prior: str,
    num_samples: int,
    file: Path,
    image: Path | None = None,
    measurement: Path | None = None,
    operator: str = "half:keep=top",
    noise_std: float = 0.1,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Answer a question with a method; arguments with a default are options of `sample` and of `solve`.

    Args:
        method: What answers.
        prior: Name or folder of its prior.
        num_samples: How many draws to ask of it.
        file: Where the answer goes, figures beside it.
        image: True images, whose measurement is simulated: a picture (png, jpg), an array in [-1, 1] (npy, npz) or a
            folder of pictures.
        measurement: Measurements y of your own, (B, *measurement_shape), npy, in place of an image.
        operator: Forward operator: identity, half:keep=top, box:top=4,left=4,height=8,width=8, random:fraction=0.3,
            mask:path=mask.npy, downsampling:factor=4, gaussian-blur:std=1.5, motion-blur:length=7,angle=45,
            gaussian:num_measurements=100, grayscale, matrix:path=A.npy.
        noise_std: Standard deviation of the measurement noise; images lie in [-1, 1].
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of the simulated noise and of the method.
        progress: Whether to show progress bars.
    """
    if (image is None) == (measurement is None):
        raise InvalidValueError("give either --image (its measurement is simulated) or --measurement")
    device = default_device()
    model = load_prior(prior, device=device)
    forward = registry.build("operator", registry.OPERATORS, operator, event_shape=model.event_shape).to(device)
    likelihood = GaussianLikelihood(forward, noise_std)
    truth = None
    if image is not None:
        truth = load_images(image, model.event_shape).to(device)
        y = likelihood.simulate(truth, Noise.of(seed, len(truth), device=device))
    elif measurement is not None:
        y = registry.array(measurement).to(device)
        y = y.to(torch.complex64 if y.is_complex() else torch.float32)
    problem = Posterior(model, likelihood, y)
    file.parent.mkdir(parents=True, exist_ok=True)  # a folder that cannot be written is known before the work
    result, row = run(
        operator, problem, method, truth=truth, num_samples=num_samples, seed=seed, batch_size=batch_size,
        progress=progress,
    )  # fmt: skip
    print(report([row]))
    print(f"saved to {result.save(file)}")
    draws, estimate = (result, None) if isinstance(result, Samples) else (None, result)
    title, mask = f"{method.name} · {operator}, noise {noise_std:g}", getattr(forward, "mask", None)
    paths = [file.with_name(f"{index:03d}.png") for index in range(min(len(problem), _FIGURES))]
    for index, path in enumerate(paths):
        figure = posterior_figure(truth, y, draws, estimate, model.value_range, title, mask=mask, index=index)
        save_figure(figure, path)
        if draws is not None and len(draws) > 1:
            figure = uncertainty_figure(draws, truth, value_range=model.value_range, title=title, index=index)
            save_figure(figure, path.with_stem(f"{path.stem}-uncertainty"))
            save_gif(draws.x[evenly(len(draws), _FRAMES), index], path.with_suffix(".gif"), model.value_range)
    print(f"figures: {paths[0]}" + (f" … {paths[-1].name}" if len(paths) > 1 else ""))


if __name__ == "__main__":
    main()
