"""Results of methods: samples of the posterior (`Samples`), or one image for each measurement (`PointEstimate`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from posterior.checks import Level, Real, Share, checked
from posterior.convergence import ess_bulk, ess_mean
from posterior.errors import FileFormatError, InvalidValueError, ShapeError
from posterior.io.store import Store
from posterior.io.stored_samples import read_samples
from posterior.provenance import Provenance, Reported
from posterior.shapes import as_tensor
from posterior.verdict import Verdict

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, repr=False)
class Samples(Reported):
    """Samples of p(x | y).

    Attributes:
        x: The samples (S, B, *event_shape).
        nfe: Network evaluations a sample, (B,).
        nfe_grad: Backward network evaluations a sample, (B,).
        info: What the sampler says about itself, each (B,) or (steps, B), NaN where a measurement took no step.
            `effective_samples`, where it is there, is how many independent samples these are worth.
        chains: Number of Markov chains that the samples come from; those of one chain are consecutive.
        latent: The latent variables that the samples were decoded from, where there are any.
        parameters: Samples of the likelihood's parameters by name, (S, B) each, where a sampler draws them with x.
        verdict: Whether the samples of each measurement may be trusted, and what was found.
        provenance: What made them.
    """

    x: Tensor
    nfe: Tensor
    nfe_grad: Tensor
    info: dict[str, Tensor] = field(default_factory=dict)
    chains: int = 1
    latent: Tensor | None = None
    verdict: tuple[Verdict, ...] = ()
    provenance: Provenance | None = None
    parameters: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    def mean(self) -> Tensor:
        """Posterior mean (B, *event_shape)."""
        return self.x.mean(0)

    def std(self) -> Tensor:
        """Posterior standard deviation of each entry (B, *event_shape)."""
        return self.x.std(0)

    @checked
    def quantile(self, q: Share | Real) -> Tensor:
        """Posterior quantiles of each entry, (B, *event_shape), with a leading axis if q has one."""
        level = torch.as_tensor(q, dtype=self.x.dtype, device=self.x.device)
        if level.ndim > 1 or not level.numel() or not bool(((level >= 0) & (level <= 1)).all()):
            raise InvalidValueError(f"quantiles q lie in [0, 1], one or several in a row; got {q}")
        flat = self.x.reshape(len(self.x), -1)
        # torch.quantile takes at most 2^24 values at a time
        parts = [torch.quantile(part, level, dim=0) for part in flat.split(max(1, (1 << 24) // max(1, len(flat))), 1)]
        return torch.cat(parts, -1).reshape(*level.shape, *self.x.shape[1:])

    @checked
    def credible_interval(self, level: Level = 0.9) -> tuple[Tensor, Tensor]:
        """Equal-tailed credible interval of each entry: lower and upper end, (B, *event_shape) each.

        The ends are order statistics of S samples, at probabilities k/(S + 1), so that an exchangeable truth lies
        inside with the stated probability when (1 − level)(S + 1)/2 is whole, and at least so otherwise.
        """
        rank = interval_rank(level, len(self.x))
        return self.x.kthvalue(rank, dim=0).values, self.x.kthvalue(len(self.x) + 1 - rank, dim=0).values

    @checked
    def expectation(self, function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        r"""E[f(x) | y] and its Monte-Carlo standard error, \(\mathrm{std}(f)/\sqrt{\mathrm{ESS}}\).

        The effective sample size is that of f itself over the chains, if there are several; else what the sampler
        reports as `info["effective_samples"]`; else the number of samples.

        Args:
            function: f of images (S, *event_shape), the samples of one measurement → (S, *out).

        Returns:
            The mean and its standard error, (B, *out) each.

        Raises:
            InvalidValueError: There are fewer than two samples, or fewer than four a chain; or f is complex.
            ShapeError: f does not give one value, or array, for each image.
        """
        if len(self.x) < 2:
            raise InvalidValueError("a standard error needs at least two draws")
        values = self._values(function)
        if values.is_complex():
            raise InvalidValueError("the function gave complex numbers; give real and imaginary parts instead")
        values = values if values.is_floating_point() else values.double()
        return values.mean(0), values.std(0) / self._effective_size(values).sqrt().to(values)

    @checked
    def probability(self, event: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        r"""P(event | y) and its Monte-Carlo standard error, which is positive even if no sample, or every, is a hit.

        The estimate is the share of hits p̂; the error is that of Agresti and Coull, whose ±2 errors cover at any p:

        $$ \sqrt{\tilde p (1 - \tilde p) / (n + 4)}, \qquad \tilde p = (n \hat p + 2)/(n + 4) $$

        with n the effective sample size as in `expectation`; where all chains agree on the event, and so do not tell
        how they mix, that of their slowest image entry.

        Args:
            event: What is true or false of images (S, *event_shape), the samples of one measurement → bool (S,).

        Returns:
            The probability and its standard error, (B,) each.

        Raises:
            InvalidValueError: The event is not boolean, or there are fewer than four samples a chain.
            ShapeError: It does not give one value for each image.

        References:
            Agresti & Coull 1998, Approximate is better than "exact" for interval estimation of binomial proportions,
            The American Statistician 52(2).
        """
        hits = self._values(event)
        if hits.dtype != torch.bool or hits.ndim != 2:
            raise InvalidValueError(
                f"an event gives one truth value (bool) for each image, got {hits.dtype} "
                f"of shape {tuple(hits.shape[2:])}; compare with a threshold"
            )
        share = hits.double().mean(0)
        size = self._effective_size(hits.double())
        if self.chains > 1:
            for b in ((share == 0) | (share == 1)).nonzero()[:, 0].tolist():
                size[b] = ess_bulk(self.by_chain()[:, :, b]).min()
        centre = (size * share + 2) / (size + 4)
        return share, (centre * (1 - centre) / (size + 4)).sqrt()

    def by_chain(self) -> Tensor:
        """Samples by Markov chain, (chains, draws, B, *event_shape)."""
        return self.x.reshape(self.chains, -1, *self.x.shape[1:])

    @classmethod
    def load(cls, path: str | Path, method: str | None = None, ids: Sequence[int] | None = None) -> Self:
        """Read what `save` wrote, or samples of some measurements from the results of a job (`posterior run`).

        Of a job's results, nothing is read but what is asked for. No code in a file is run.

        Args:
            path: A file, or the folder of a job that kept its samples.
            method: Name of the method, where the job has several.
            ids: Names of the measurements; all of them unless given.

        Raises:
            FileFormatError: Not such a file or folder, or a corrupt one, or measurements that are not answered yet.
            InvalidValueError: There is no such method or measurement, its samples were not kept, or it failed.
        """
        if not Path(path).is_dir():
            return super().load(path)
        try:
            stored = read_samples(Store(path), method, ids)
            return cls(**stored | {"provenance": Provenance(**stored["provenance"])})
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise FileFormatError(f"{path} does not hold the samples of a job: {error!r}") from error

    def to_xarray(self) -> xarray.DataTree:
        """A DataTree as ArviZ reads it, whose groups have dimensions (chain, draw, measurement, x_dim_0, …).

        `posterior` has the samples, of x and of parameters, `sample_stats` what the sampler says of them, and
        `observed_data` the measurements y, real and imaginary parts as `y_real` and `y_imag` where these are complex.
        """
        import xarray

        ids = list(range(self.x.shape[1])) if self.provenance is None else list(self.provenance.ids)

        def dataset(values: dict[str, Any]) -> xarray.Dataset:
            return xarray.Dataset(values, {"measurement": ids})

        dims = ("chain", "draw", "measurement", *(f"x_dim_{i}" for i in range(self.x.ndim - 2)))
        stats: dict[str, Any] = {
            name: ("measurement", getattr(self, name).cpu().numpy()) for name in ("nfe", "nfe_grad")
        }
        for name, values in self.info.items():
            if values.ndim < 3:
                stats[name] = (("step", "measurement")[-values.ndim :], values.cpu().numpy())
        x = self.by_chain().cpu().numpy()
        counted = {"chain": np.arange(x.shape[0]), "draw": np.arange(x.shape[1])}
        drawn = {
            name: (dims[:3], values.reshape(*x.shape[:3]).cpu().numpy()) for name, values in self.parameters.items()
        }
        groups = {
            "posterior": dataset({"x": (dims, x), **drawn}).assign_coords(counted),
            "sample_stats": dataset(stats),
        }
        if self.provenance is not None:
            y = self.provenance.y.cpu()
            parts = {"y_real": y.real, "y_imag": y.imag} if y.is_complex() else {"y": y}
            axes = ("measurement", *(f"y_dim_{i}" for i in range(y.ndim - 1)))
            groups["observed_data"] = dataset({name: (axes, part.numpy()) for name, part in parts.items()})
        return xarray.DataTree.from_dict(groups)

    def _contents(self) -> str:
        each = f"{len(self.x)} of each of {self.x.shape[1]} measurements" + (
            f", in {self.chains} chains" if self.chains > 1 else ""
        )
        size = self.info.get("effective_samples")
        worth = "" if size is None else f"; worth {float(size.min()):.0f} to {float(size.max()):.0f} independent ones"
        drawn = "".join(f", {name}" for name in self.parameters)
        return f"Samples: {each}, images {tuple(self.x.shape[2:])}{drawn}{worth}"

    def _values(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """A function of the samples, one measurement at a time: (S, B, *out)."""
        each = [as_tensor("values of the function", function(self.x[:, b])) for b in range(self.x.shape[1])]
        for values in each:
            if values.shape[:1] != self.x.shape[:1] or values.shape != each[0].shape:
                raise ShapeError(
                    f"the function gave values of shape {tuple(values.shape)} for {len(self.x)} images; expected "
                    "one for each, of one shape for all measurements"
                )
        return torch.stack(each, 1)

    def _effective_size(self, values: Tensor) -> Tensor:
        """How many independent samples the values (S, B, *out) are worth, (B, *out)."""
        if self.chains > 1:
            return ess_mean(values.reshape(self.chains, -1, *values.shape[1:]))
        size = torch.full((values.shape[1],), float(len(values)), dtype=torch.float64, device=values.device)
        if "effective_samples" in self.info:
            size = torch.minimum(size, self.info["effective_samples"].to(size))
        return size.reshape(-1, *(1,) * (values.ndim - 2)).expand(values.shape[1:]).clone()


@dataclass(frozen=True, repr=False)
class PointEstimate(Reported):
    """One image for each measurement.

    Attributes:
        x: Estimates (B, *event_shape).
        loss: Value of what was minimised, (B,).
        converged: Whether the solver met its own criterion, (B,).
        nfe, nfe_grad: Forward and backward network evaluations, (B,).
        info: What the solver says about itself, each (B,) or (steps, B), or a map for each measurement, (B, H, W).
        latent: The latent variables of x, where there are any.
        verdict: Whether the estimate for each measurement may be trusted, and what was found.
        provenance: What made them.
    """

    x: Tensor
    loss: Tensor
    converged: Tensor
    nfe: Tensor
    nfe_grad: Tensor
    info: dict[str, Tensor] = field(default_factory=dict)
    latent: Tensor | None = None
    verdict: tuple[Verdict, ...] = ()
    provenance: Provenance | None = None

    def _contents(self) -> str:
        converged = f"{int(self.converged.sum())} of {len(self.x)} converged"
        return f"PointEstimate: {len(self.x)} images {tuple(self.x.shape[1:])}, {converged}"


def interval_rank(level: float, size: int) -> int:
    """The rank k, counted from either end, of the samples that bound an equal-tailed credible interval.

    Raises:
        InvalidValueError: The level is not in (0, 1), or there are too few samples for it.
    """
    if not 0 < level < 1:
        raise InvalidValueError(f"the level of a credible interval lies in (0, 1), got {level}")
    rank = int((1 - level) / 2 * (size + 1) + 1e-9)
    if rank < 1:
        raise InvalidValueError(
            f"a {level:.0%} interval needs at least {int(np.ceil(2 / (1 - level) - 1 - 1e-9))} draws, got {size}"
        )
    return rank
