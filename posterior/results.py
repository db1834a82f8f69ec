"""What methods return: draws of the posterior (`Samples`) or one image a measurement (`PointEstimate`)."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from posterior.errors import FileFormatError, InvalidValueError

if TYPE_CHECKING:
    import xarray

Result = dict[str, Tensor]


@dataclass(frozen=True)
class Samples:
    """Draws of p(x | y).

    Attributes:
        x: Draws (S, B, *event_shape).
        nfe: Network evaluations a draw, (B,).
        nfe_grad: Backward network evaluations a draw, (B,).
        info: What the sampler says about itself, each (B,) or (steps, B), NaN where a measurement took no step.
        chains: Number of Markov chains the draws come from; draws of one chain are consecutive.
        latent: The latent variables the draws were decoded from, where there are any.
    """

    x: Tensor
    nfe: Tensor
    nfe_grad: Tensor
    info: Result = field(default_factory=dict)
    chains: int = 1
    latent: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def mean(self) -> Tensor:
        """Posterior mean (B, *event_shape)."""
        return self.x.mean(0)

    def std(self) -> Tensor:
        """Posterior standard deviation of each entry (B, *event_shape)."""
        return self.x.std(0)

    def quantile(self, q: float | Tensor) -> Tensor:
        """Posterior quantiles of each entry, (B, *event_shape), with a leading axis if q has one."""
        level = torch.as_tensor(q, dtype=self.x.dtype, device=self.x.device)
        if not bool(((level >= 0) & (level <= 1)).all()):
            raise InvalidValueError(f"quantiles lie in [0, 1], got {q}")
        flat = self.x.reshape(len(self.x), -1)
        # torch.quantile takes at most 2^24 values at a time
        parts = [torch.quantile(part, level, dim=0) for part in flat.split(max(1, (1 << 24) // max(1, len(flat))), 1)]
        return torch.cat(parts, -1).reshape(*level.shape, *self.x.shape[1:])

    def credible_interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Equal-tailed credible interval of each entry: lower and upper end, (B, *event_shape) each.

        The ends are order statistics of S draws, at probabilities k/(S + 1), so that an exchangeable truth lies
        inside with the stated probability when (1 − level)(S + 1)/2 is whole, and at least so otherwise.
        """
        if not 0 < level < 1:
            raise InvalidValueError(f"the level of a credible interval lies in (0, 1), got {level}")
        size = len(self.x)
        rank = int((1 - level) / 2 * (size + 1) + 1e-9)
        if rank < 1:
            raise InvalidValueError(
                f"a {level:.0%} interval needs at least {int(np.ceil(2 / (1 - level) - 1 - 1e-9))} draws, got {size}"
            )
        lower = self.x.kthvalue(rank, dim=0).values
        upper = self.x.kthvalue(size + 1 - rank, dim=0).values
        return lower, upper

    def by_chain(self) -> Tensor:
        """Draws by Markov chain, (chains, draws, B, *event_shape)."""
        return self.x.reshape(self.chains, -1, *self.x.shape[1:])

    def save(self, path: str | Path) -> Path:
        """Write to an npz file."""
        return _save(path, {"kind": "Samples", "chains": self.chains}, self._arrays())

    @classmethod
    def load(cls, path: str | Path) -> Samples:
        """Read what `save` wrote.

        Raises:
            FileFormatError: Not such a file, or a corrupt one.
        """
        fields, info = _load(path, "Samples")
        return cls(fields["x"], fields["nfe"], fields["nfe_grad"], info, int(fields["chains"]), fields.get("latent"))

    def to_xarray(self) -> xarray.Dataset:
        """An xarray dataset with dimensions (chain, draw, measurement, x_dim_0, …), as ArviZ reads them."""
        import xarray

        dims = ("chain", "draw", "measurement", *(f"x_dim_{i}" for i in range(self.x.ndim - 2)))
        data: dict[str, Any] = {"x": (dims, self.by_chain().cpu().numpy())}
        data |= {name: ("measurement", getattr(self, name).cpu().numpy()) for name in ("nfe", "nfe_grad")}
        for name, values in self.info.items():
            data[name] = (("step", "measurement")[-values.ndim :] if values.ndim < 3 else None, values.cpu().numpy())
        return xarray.Dataset(data)

    def _arrays(self) -> Result:
        arrays = {"x": self.x, "nfe": self.nfe, "nfe_grad": self.nfe_grad}
        arrays |= {} if self.latent is None else {"latent": self.latent}
        return arrays | {f"info.{name}": values for name, values in self.info.items()}


@dataclass(frozen=True)
class PointEstimate:
    """One image for each measurement.

    Attributes:
        x: Estimates (B, *event_shape).
        loss: Value of what was minimised, (B,).
        converged: Whether the solver met its own criterion, (B,).
        nfe, nfe_grad: Forward and backward network evaluations, (B,).
        info: What the solver says about itself, each (B,) or (steps, B).
        latent: The latent variables of x, where there are any.
    """

    x: Tensor
    loss: Tensor
    converged: Tensor
    nfe: Tensor
    nfe_grad: Tensor
    info: Result = field(default_factory=dict)
    latent: Tensor | None = None

    def save(self, path: str | Path) -> Path:
        """Write to an npz file."""
        arrays = {name: getattr(self, name) for name in ("x", "loss", "converged", "nfe", "nfe_grad")}
        arrays |= {} if self.latent is None else {"latent": self.latent}
        return _save(path, {"kind": "PointEstimate"}, arrays | {f"info.{k}": v for k, v in self.info.items()})

    @classmethod
    def load(cls, path: str | Path) -> PointEstimate:
        """Read what `save` wrote.

        Raises:
            FileFormatError: Not such a file, or a corrupt one.
        """
        fields, info = _load(path, "PointEstimate")
        x, loss, converged, nfe, nfe_grad = (fields[name] for name in ("x", "loss", "converged", "nfe", "nfe_grad"))
        return cls(x, loss, converged, nfe, nfe_grad, info, fields.get("latent"))


def _save(path: str | Path, header: dict[str, Any], arrays: Result) -> Path:
    path = Path(path)
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {name: np.asarray(value) for name, value in header.items()}
    values |= {name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()}
    np.savez_compressed(path, **values)
    return path


def _load(path: str | Path, kind: str) -> tuple[dict[str, Any], Result]:
    try:
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            content = {name: np.lib.format.read_array(archive.open(f"{name}.npy")) for name in names}
        found = str(content.pop("kind"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileFormatError(f"{path} is not a saved {kind}: {error}") from error
    if found != kind:
        raise FileFormatError(f"{path} holds {found}, not {kind}; use {found}.load")
    tensors: dict[str, Any] = {name: torch.from_numpy(values) for name, values in content.items()}
    info = {name.removeprefix("info."): tensors.pop(name) for name in list(tensors) if name.startswith("info.")}
    return tensors, info
