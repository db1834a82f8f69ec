"""The study behind `posterior theory`: what compressed sensing with a generator can promise, and what it does."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from posterior.diagnostics import Recovery, RestrictedEigenvalue, recovery, restricted_eigenvalue
from posterior.errors import InvalidValueError, TrustWarning
from posterior.methods import Method
from posterior.noise import Noise
from posterior.operators import Fourier, GaussianMeasurement, Inpainting
from posterior.operators.base import LinearOperator
from posterior.priors.generators import GeneratorPrior
from posterior.tables import markdown_table

Family = Callable[[tuple[int, ...], int, int], tuple[LinearOperator, float]]


@dataclass(frozen=True)
class Theory:
    """What `study` found.

    Attributes:
        eigenvalues: By family of operators and number of measurements, in units in which ‖Ax‖ is ‖x‖ on average.
        recoveries: By the number of Gaussian measurements.
    """

    eigenvalues: dict[str, dict[int, RestrictedEigenvalue]]
    recoveries: dict[int, Recovery]

    def eigenvalue_table(self) -> str:
        """γ by the number of measurements, of random, near and adversarial pairs."""
        counts = list(next(iter(self.eigenvalues.values())))
        rows = [
            [family, kind, *(f"{float(getattr(found[m], kind).min()):.3f}" for m in counts)]
            for family, found in self.eigenvalues.items()
            for kind in RestrictedEigenvalue._fields
        ]
        return markdown_table(["A", "pairs", *(f"m = {m}" for m in counts)], rows, "ll")

    def recovery_table(self) -> str:
        """The bound and its terms by the number of measurements."""
        return recovery_table({f"m = {m}": found for m, found in self.recoveries.items()}, "measurements")


def recovery_table(found: dict[str, Recovery], heading: str) -> str:
    """Means of errors and of the terms of their bound, and in how many problems it holds."""
    rows = [
        [name, *(f"{float(v.mean()):.3g}" for v in (*one, one.bound)), f"{float((one.error / one.bound).max()):.2f}",
         f"{int((one.error <= one.bound).sum())} of {len(one.error)}"]
        for name, one in found.items()
    ]  # fmt: skip
    return markdown_table(
        [heading, "error", "representation", "noise", "optimisation", "bound", "largest error/bound", "holds"], rows
    )


def study(
    prior: GeneratorPrior,
    method: Method,
    counts: Sequence[int],
    *,
    num_pairs: int = 32,
    steps: int = 100,
    num_problems: int = 8,
    outside: float = 0.1,
    noise_std: float = 0.01,
    seed: int = 0,
    progress: bool = True,
) -> Theory:
    """Restricted eigenvalues of three families of operators, and the terms of the bound for the first of them.

    Args:
        prior: A generator of images.
        method: A solver in the generator's range.
        counts: Numbers m of measurements.
        num_pairs, steps: As for `restricted_eigenvalue`.
        num_problems, outside, noise_std: As for `recovery`.
        seed: Of operators, latents, images and noise.
        progress: Whether to show a progress bar.

    Raises:
        InvalidValueError: More numbers are to be measured than an image has.
    """
    shape = tuple(prior.event_shape)
    if not counts or not 2 <= min(counts) <= max(counts) <= math.prod(shape):
        raise InvalidValueError(f"give numbers of measurements from 2 to {math.prod(shape)}, got {list(counts)}")
    families = {name: family for name, family in FAMILIES.items() if name != "Fourier" or len(shape) >= 2}
    eigenvalues: dict[str, dict[int, RestrictedEigenvalue]] = {name: {} for name in families}
    recoveries = {}
    with tqdm(total=len(counts) * (len(families) + 1), desc="theory", disable=not progress) as bar:
        for m in counts:
            for name, family in families.items():
                bar.set_postfix_str(f"{name}, m = {m}")
                operator, unit = family(shape, m, seed)
                operator = operator.to(prior.device, prior.dtype)
                found = restricted_eigenvalue(operator, prior, num_pairs=num_pairs, steps=steps, seed=seed)
                eigenvalues[name][m] = RestrictedEigenvalue(*(unit * ratios for ratios in found))
                bar.update()
            bar.set_postfix_str(f"recovery, m = {m}")
            operator = GaussianMeasurement(shape, m, seed).to(prior.device, prior.dtype)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TrustWarning)
                recoveries[m] = recovery(
                    method, prior, operator, num_problems=num_problems, outside=outside, noise_std=noise_std, seed=seed
                )
            bar.update()
    return Theory(eigenvalues, recoveries)


def _gaussian(shape: tuple[int, ...], m: int, seed: int) -> tuple[LinearOperator, float]:
    return GaussianMeasurement(shape, m, seed), 1.0


def _fourier(shape: tuple[int, ...], m: int, seed: int) -> tuple[LinearOperator, float]:
    """m/2 coefficients at random places of an image, the same in each channel, each of two numbers."""
    places = math.prod(shape[-2:])
    count = max(1, round(m / 2 / math.prod(shape[:-2])))
    mask = _random_order(places, seed) < count
    return Fourier(shape, mask.view(shape[-2:])), (places / count) ** 0.5


def _inpainting(shape: tuple[int, ...], m: int, seed: int) -> tuple[LinearOperator, float]:
    """m values at random places."""
    size = math.prod(shape)
    return Inpainting((_random_order(size, seed) < m).view(shape), shape), (size / m) ** 0.5


def _random_order(size: int, seed: int) -> torch.Tensor:
    return Noise.of(seed).use("theory").uniform((size,))[0, 0].argsort().argsort()


FAMILIES: dict[str, Family] = {"Gaussian": _gaussian, "Fourier": _fourier, "inpainting": _inpainting}
