"""What the commands `sample` and `solve` ask: measurements of one's own, or simulated ones of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from posterior.app.arrays import load_measurements
from posterior.app.config import build_prior
from posterior.app.pictures import load_pictures
from posterior.app.running import default_device
from posterior.app.specification import build
from posterior.errors import InvalidValueError, check_finite
from posterior.likelihoods import Likelihood
from posterior.noise import Noise
from posterior.operators import Operator
from posterior.problem import Posterior

_NOISE_STD = 0.1


class Question(NamedTuple):
    """A problem, the true images (B, *event_shape) where they are known, and how it is called."""

    problem: Posterior
    truth: Tensor | None
    title: str


def pose(
    prior: str,
    *,
    image: Path | None = None,
    measurement: Path | None = None,
    operator: str = "half:keep=top",
    noise_std: float | None = None,
    likelihood: str | None = None,
    class_label: int | list[int] | None = None,
    resize: bool = False,
    gray: bool = False,
    seed: int = 0,
) -> Question:
    """Make a problem of words; arguments with a default are options of `sample` and of `solve`.

    Args:
        prior: Name or folder of the prior.
        image: True images, whose measurement is simulated: a picture (png, jpg), an array in [-1, 1] (npy, npz) or a
            folder of pictures.
        measurement: Measurements y of your own, (B, *measurement_shape), npy, in place of an image.
        operator: Forward operator, as in random:fraction=0.3.
        noise_std: Standard deviation of Gaussian noise, 0.1 unless given; images lie in [-1, 1]. Short for --likelihood
            gaussian:noise_std=….
        likelihood: Noise of another kind, as in poisson:gain=50,background=1.
        class_label: Class of the images, of a class-conditional prior; or one for each, as in [0,7].
        resize: Whether to scale pictures to the size of the prior's, and to crop what is over at two sides.
        gray: Whether to take the brightness of pictures in colour.
        seed: Seed of the simulated noise and of the method.
    """
    if (image is None) == (measurement is None):
        raise InvalidValueError("give either --image (its measurement is simulated) or --measurement")
    if image is None and (resize or gray):
        raise InvalidValueError("--resize and --gray convert pictures, of --image")
    device = default_device()
    model = build_prior(prior, device, class_label)
    forward = build("operator", operator, event_shape=model.event_shape)
    noise, words = noise_of(forward, likelihood, noise_std)
    noise = noise.to(device)
    truth = None
    if image is not None:
        truth = load_pictures(image, model.event_shape, resize=resize, gray=gray).to(device)
        y = noise.simulate(truth, Noise.of(seed, len(truth), device=device))
    elif measurement is not None:
        y = load_measurements(measurement).to(device)
        check_finite(str(measurement), y, "remove or repair them")
    return Question(Posterior(model, noise, y), truth, f"{operator}, {words}")


def noise_of(operator: Operator, likelihood: str | None, noise_std: float | None) -> tuple[Likelihood[Any], str]:
    """The likelihood that is asked for, by its name or as the standard deviation of Gaussian noise, and its title."""
    if likelihood is not None and noise_std is not None:
        raise InvalidValueError("give either --likelihood or --noise_std, which is short for Gaussian noise")
    if likelihood is not None:
        return build("likelihood", likelihood, operator=operator), likelihood
    std = _NOISE_STD if noise_std is None else noise_std
    return build("likelihood", f"gaussian:noise_std={std}", operator=operator), f"noise {std:g}"
