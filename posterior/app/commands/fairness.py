"""The command that measures the fairness of methods to groups: `posterior fairness`."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import torch

from posterior.app.config import build_prior
from posterior.app.running import default_device
from posterior.app.specification import build
from posterior.data import load_images
from posterior.diagnostics.calibration import draw_truth
from posterior.fairness import FairnessStudy, class_groups, load_classifier
from posterior.figures import fairness_figure, save_figure
from posterior.io.writing import check_writable, write_text
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.problem import Posterior


def fairness_study(
    prior: str = "digits-vae",
    classifier: str = "digits",
    groups: dict[str, list[str]] | None = None,
    operators: list[str] | None = None,
    noise_std: list[float] | None = None,
    methods: list[str] | None = None,
    reference: str | None = None,
    images: Path | None = None,
    num_images: int = 100,
    num_samples: int = 16,
    out: Path = Path("results/fairness"),
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Measure the fairness of methods to groups of images; a study that stopped goes on from its checkpoint.

    Args:
        prior: Name of a shipped prior, or a folder.
        classifier: Name of a shipped classifier, digits, fashion or gender, or a folder; it says who is in an image,
            and no better than its card says.
        groups: Groups of its classes, as in {"3 or 5":["3","5"],"8":["8"]}, the classes left being one more; each class
            is a group unless given.
        operators: Forward operators, as in [downsampling:factor=7,half:keep=top]; the first of these unless given.
        noise_std: Standard deviations of the measurement noise, each with each operator; [1] unless given.
        methods: Samplers and solvers, all on this prior; [TemperedSMC:accuracy=fast,CSGM] unless given. Write a method
            with several settings in a YAML file.
        reference: Name of the method whose samples estimate P(X in a | y), for CPR gaps.
        images: True images, which the prior has not seen: a folder of pictures (png, jpg) or an array in [-1, 1] (npy,
            npz). Unless given, truths are drawn from the prior, and exact samples have no PR gap.
        num_images: Images, at most.
        num_samples: Samples of each measurement, even.
        out: Folder for fairness.md, fairness.png and the checkpoint.
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of truths, measurements and samples.
        progress: Whether to show a progress bar.
    """
    device = default_device()
    model, judge = build_prior(prior, device), load_classifier(classifier, device=device)
    forward = {
        text: build("operator", text, event_shape=model.event_shape).to(device)
        for text in operators or ["downsampling:factor=7"]
    }
    asked = [build("method", text) for text in methods or ["TemperedSMC:accuracy=fast", "CSGM"]]
    who = class_groups(judge, groups)
    check_writable(out / "fairness.md")  # before the work
    noise = Noise.of(seed, num_images, 1, device=device).use("fairness")
    truth = draw_truth(model, noise.use("truth")) if images is None else load_images(images, model.event_shape)
    truth = truth[:num_images].to(device)
    problems = {}
    for (text, operator), std in product(forward.items(), noise_std or [1.0]):
        likelihood = GaussianLikelihood(operator, std)
        y = likelihood.simulate(truth, noise.select(torch.arange(len(truth), device=device)))
        problems[f"{text}, noise {std:g}"] = Posterior(model, likelihood, y), truth
    study = FairnessStudy(problems, asked, who, truths_from_prior=images is None, reference=reference)
    result = study.run(
        num_samples, seed=seed, batch_size=batch_size, checkpoint=out / "checkpoint.pt", progress=progress
    )
    print(result)
    write_text(out / "fairness.md", f"{result}\n")
    save_figure(fairness_figure(result), out / "fairness.png")
    print(f"saved to {out / 'fairness.md'}; figure: {out / 'fairness.png'}")
