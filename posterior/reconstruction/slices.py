"""Posterior samples of the slices of a scan, a few slices at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posterior.checks import Count, Level, Several, Size, checked
from posterior.data import RawFile, RawSlice
from posterior.diagnostics.quality import quality
from posterior.errors import IncompatibleError, InvalidValueError, PosteriorError
from posterior.identity import model_identity
from posterior.io.checkpoint import Identity, open_checkpoint
from posterior.io.fingerprint import fingerprint
from posterior.likelihoods import GaussianLikelihood
from posterior.methods import Method
from posterior.operators import MultiCoilMRI
from posterior.priors.base import Prior
from posterior.problem import Posterior
from posterior.reconstruction.preparation import Prepared, prepare
from posterior.results import Samples, interval_rank
from posterior.verdict import Verdict


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Samples of the image of one slice, in the unit of its file.

    Attributes:
        number: Which slice of the scan.
        prepared: What the samplers were given.
        x: Complex images (S, 2, H, W), real and imaginary part.
        misfit: Root mean squared residual of the samples, in units of the noise.
        calls: Network evaluations a sample.
        verdict: Whether the samples may be trusted.
    """

    number: int
    prepared: Prepared
    x: Tensor
    misfit: float
    calls: float
    verdict: Verdict

    @property
    def draws(self) -> Tensor:
        """Magnitudes (S, H, W)."""
        return torch.linalg.vector_norm(self.x, dim=1)

    def mean(self) -> Tensor:
        """Posterior mean of the magnitude, (H, W)."""
        return self.draws.mean(0)

    def std(self) -> Tensor:
        """Posterior standard deviation of the magnitude, (H, W)."""
        return self.draws.std(0)

    @checked
    def interval(self, level: Level = 0.9) -> tuple[Tensor, Tensor]:
        """Equal-tailed credible interval of the magnitude, as `Samples.credible_interval` has it: (H, W) each."""
        rank = interval_rank(level, len(self.x))
        return self.draws.kthvalue(rank, dim=0).values, self.draws.kthvalue(len(self.x) + 1 - rank, dim=0).values


@checked
def reconstruct(
    scan: RawFile | Sequence[RawSlice],
    prior: Prior,
    method: Method,
    *,
    num_samples: Several = 19,
    batch: Count = 1,
    shape: Sequence[Count] | None = None,
    window: bool = False,
    slices: Sequence[Size] | None = None,
    seed: int = 0,
    batch_size: Count | None = None,
    progress: bool = True,
    checkpoints: str | Path | None = None,
) -> Iterator[Reconstruction]:
    """Draw samples of the image of each slice; in memory are `batch` slices and no more.

    Slices are prepared as `prepare` says, and are a batch of measurements to the method. The draws of a slice depend on
    its number and the seed and not on its neighbours.

    Args:
        scan: The slices, as `read_kspace` gives them.
        prior: A prior of complex images, (2, H, W), in whose unit the 0.99-quantile of a magnitude is 1.
        method: A sampler.
        num_samples: Samples of each slice, at least 2; a 90 % interval needs 19.
        batch: Slices at a time.
        shape: Rows and columns of the field of view, as for `prepare`; those of k-space unless given.
        window: Whether the prior's images are the middle of the field of view, with nothing around them.
        slices: Numbers of the slices, from 0 on; all unless given.
        seed: Seed of the method.
        batch_size: Images in one network call at the most.
        progress: Whether to show progress bars.
        checkpoints: Folder in which finished slices are kept, from which they are taken if the same is run again.

    Yields:
        Slices in their order.

    Raises:
        IncompatibleError: The prior's images are not complex or of another shape than the slices', or the method gives
            no samples.
        InvalidValueError: There is no slice of a number; or what `prepare` raises.
        NotFiniteError: The samples of all slices of a batch are NaN or infinite.
        CheckpointMismatchError: What is kept of a slice is of another run.
    """
    chosen = chosen_slices(slices, len(scan))
    folder = None if checkpoints is None else Path(checkpoints)
    settings = {
        "method": fingerprint(method), "number of samples": str(num_samples), "seed": str(seed),
        "matrix": f"{None if shape is None else tuple(shape)}, window {window}",
    }  # fmt: skip
    for first in range(0, len(chosen), batch):
        numbers = chosen[first : first + batch]
        raws = [scan[number] for number in numbers]
        given = [prepare(raw, shape, prior.event_shape[1:] if window else None) for raw in raws]
        problem = problem_of(given, prior, numbers)
        files = [_Kept(folder, raw, given[b], problem, b, settings) for b, raw in enumerate(raws)]
        found = {b: content for b, file in enumerate(files) if (content := file.load()) is not None}
        if missing := [b for b in range(len(files)) if b not in found]:
            part = problem.select(missing)
            samples = _samples(method, part, folder, num_samples, seed, batch_size, progress)
            for row, b in enumerate(missing):
                found[b] = _content(samples, row, part)
                files[b].save(found[b])
        for b, (number, one) in enumerate(zip(numbers, given, strict=True)):
            content = found[b]
            verdict = Verdict(content["level"], tuple(content["findings"]), content["remedy"])
            x = one.scale * content["x"]
            yield Reconstruction(number, one, x, content["misfit"], content["calls"], verdict)


def chosen_slices(slices: Sequence[int] | None, count: int) -> list[int]:
    """The numbers of slices that are asked for, of a scan of so many; all of them unless any are named.

    Raises:
        InvalidValueError: No number is named, one is named twice, or there is no slice of it.
    """
    chosen = list(range(count) if slices is None else slices)
    if not chosen or not 0 <= min(chosen) <= max(chosen) < count or len(set(chosen)) < len(chosen):
        raise InvalidValueError(f"slices are some of 0 … {count - 1}, each once; got {chosen}")
    return chosen


def problem_of(given: Sequence[Prepared], prior: Prior, numbers: Sequence[int]) -> Posterior:
    """The problem that prepared slices of these numbers are to a method, on the prior's device.

    Raises:
        IncompatibleError: The prior's images are not complex or of another shape than the slices', or slices differ in
            their number of coils.
    """
    for one in given:
        _check_shape(one, prior)
    coils = {len(one.y) for one in given}
    if len(coils) > 1:
        raise IncompatibleError(f"{given[0].source} and the slices after it differ in coils, {coils}; take batch 1")
    maps, masks = torch.stack([one.maps for one in given]), torch.stack([one.mask for one in given])[:, None]
    operator = MultiCoilMRI(maps, masks, given[0].mask.shape).to(prior.device)
    std = torch.tensor([one.noise_std for one in given], device=prior.device)
    y = torch.stack([one.y for one in given]).to(prior.device)
    return Posterior(prior, GaussianLikelihood(operator, std), y, ids=numbers)


def _check_shape(prepared: Prepared, prior: Prior) -> None:
    """Raise `IncompatibleError` unless a prior's images are those of a slice."""
    height, width = prepared.maps.shape[-2:]
    if len(prior.event_shape) != 3 or prior.event_shape[0] != 2:
        raise IncompatibleError(
            f"MRI needs a prior of complex images, (2, H, W); this one gives images of shape {prior.event_shape}"
        )
    if prior.event_shape[1:] != (height, width):
        wanted = prior.event_shape[1:]
        raise IncompatibleError(
            f"{prepared.source}: the image has {height} × {width} pixels{_spacing(prepared, (height, width))}, the "
            f"prior gives {wanted[0]} × {wanted[1]}: ask for the matrix [{wanted[0]},{wanted[1]}] to reconstruct it "
            f"from the middle of k-space, with pixels of another size{_spacing(prepared, wanted)}, for the window in "
            "the middle if there is nothing around it, or for both"
        )


def _spacing(prepared: Prepared, shape: tuple[int, ...]) -> str:
    """Size of the pixels on a matrix, in words."""
    if prepared.geometry is None:
        return ""
    sizes = zip(prepared.geometry.pixel_spacing, prepared.maps.shape[-2:], shape, strict=True)
    return f" ({' × '.join(f'{spacing * n / m:.2f}' for spacing, n, m in sizes)} mm)"


def _samples(
    method: Method, problem: Posterior, folder: Path | None,
    num_samples: int, seed: int, batch_size: int | None, progress: bool,
) -> Samples:  # fmt: skip
    try:
        samples = method(problem, num_samples=num_samples, seed=seed, batch_size=batch_size, progress=progress)
    except BaseException as error:
        if folder is not None and any(folder.glob("*.pt")) and not isinstance(error, PosteriorError):
            error.add_note(f"slices that were finished are kept in {folder}: run the same again to go on")
        raise
    if not isinstance(samples, Samples):
        raise IncompatibleError(f"{method.name} gives one image of each slice and no samples; take a sampler")
    return samples


def _content(samples: Samples, row: int, problem: Posterior) -> dict[str, Any]:
    """What is kept of a slice."""
    verdict, found = samples.verdict[row], quality(samples, row, problem.y, likelihood=problem.likelihood)
    return {
        "x": samples.x[:, row].cpu(), "misfit": found.misfit, "calls": found.calls, "level": verdict.level,
        "findings": list(verdict.findings), "remedy": verdict.remedy,
    }  # fmt: skip


class _Kept:
    """The file that holds what a method made of one slice, if there is a folder."""

    def __init__(
        self, folder: Path | None, raw: RawSlice, prepared: Prepared, problem: Posterior, index: int,
        settings: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.path = None if folder is None else folder / f"{problem.ids[index]:03d}.pt"
        self.raw, self.prepared, self.problem, self.settings = raw, prepared, problem, settings

    def load(self) -> dict[str, Any] | None:
        with open_checkpoint(self.path, self._identity) as file:
            return file.load()

    def save(self, content: dict[str, Any]) -> None:
        with open_checkpoint(self.path, self._identity) as file:
            file.save(content)

    def _identity(self) -> Identity:
        """By the data as they were read, for what is prepared of them rounds as the number of threads says.

        The scale, in whose unit samples are kept, and σ are compared up to that.
        """
        raw, prepared = self.raw, self.prepared
        known = model_identity(self.problem.prior, self.problem.likelihood, self.problem.y)
        return {
            "kind": "slice of a scan",
            "scan": fingerprint(raw.kspace, raw.mask, raw.noise, raw.maps),
            **({} if raw.calibration is None else {"calibration": fingerprint(raw.calibration)}),
            **self.settings,
            **{name: value for name, value in known.items() if "prior" in name},
            "scale": torch.tensor(prepared.scale),
            "noise level": torch.tensor(prepared.noise_std),
        }
