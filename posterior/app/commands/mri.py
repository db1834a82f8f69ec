"""The commands of magnetic resonance imaging: `posterior mri recon | simulate | coils`."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from posterior.app.running import default_device, without_trust_warnings
from posterior.data import Volume, load_images, read_dicom, read_kspace, read_nifti, write_cfl, write_kspace
from posterior.errors import IncompatibleError, InvalidValueError
from posterior.figures import mri_figure, sample_sheet, save_figure
from posterior.io.writing import check_writable, write_text
from posterior.mri import MASKS, random_maps, simulate, true_acceleration
from posterior.mri.scans import MaskKind
from posterior.operators.coils import as_channels
from posterior.priors.base import Prior
from posterior.priors.zoo import load_prior
from posterior.reconstruction import (
    Reconstruction,
    check_one_volume,
    chosen_slices,
    coil_maps,
    facts_of,
    problem_of,
    reconstruct,
    write_volumes,
)
from posterior.reconstruction.grid import placed_on
from posterior.verdict import Verdict, sentences
from samplers import KineticLangevin
from samplers.baselines import CGSense

_NIFTI = (".nii", ".nii.gz")
_DICOM = ".dcm"
_BART = (".cfl", ".hdr")
_TABLE = "summary.csv"


def mri_recon(
    file: Path,
    *,
    prior: str = "brain",
    accuracy: Literal["fast", "standard", "high"] = "standard",
    num_samples: int = 19,
    maps: Path | None = None,
    matrix: list[int] | None = None,
    window: bool = False,
    slices: list[int] | None = None,
    batch: int = 1,
    dicom: bool = False,
    out: Path = Path("results/mri"),
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Draw images that a scan allows, slice by slice; a run that stopped goes on with the slices that are left.

    Args:
        file: Raw data: fastMRI or ISMRMRD (h5, hdf5, mrd), or BART (cfl, hdr).
        prior: Folder of a prior of complex images, or name of a shipped one. Nothing is turned: its images have to lie
            as the scan's do, of which the orientation is printed.
        accuracy: How much to spend: 60, 159 or 301 network calls a sample.
        num_samples: Samples of each slice, at least 2; a 90 % interval needs 19.
        maps: Coil maps of your own, an array of BART with the dimensions of k-space, as `posterior mri coils` writes
            it; those in the file unless given, and if there are none they are estimated.
        matrix: Rows and columns of the field of view, as in [110,112], from the middle of k-space or with zeros around
            it; pixels have another size then. Those of the file unless given.
        window: Whether the prior's images are the middle of the field of view, with nothing around them.
        slices: Numbers of the slices, from 0 on, as in [3,4,5]; all unless given. Of a file of several contrasts or
            repetitions, those of one.
        batch: Slices at a time; memory is that of so many.
        dicom: Whether to write mean, standard deviation and samples as series of DICOM files, too.
        out: Folder for reconstruction.h5, mean.nii.gz, std.nii.gz, draws.nii.gz, summary.csv, a figure of each slice,
            and the finished slices.
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of the samples.
        progress: Whether to show progress bars.
    """
    _check_apart(file, out / "reconstruction.h5")
    scan = read_kspace(file, maps)
    chosen = chosen_slices(slices, len(scan))
    check_one_volume(scan, chosen)
    model, sampler = load_prior(prior, device=default_device()), KineticLangevin(accuracy)
    check_writable(out / _TABLE)  # before the work
    told = _Told(out, model)
    attributes = {"scan": str(file), "prior": prior, "sampler": repr(sampler), "seed": seed}
    with without_trust_warnings():
        each = reconstruct(
            scan, model, sampler, num_samples=num_samples, slices=chosen, batch=batch, shape=matrix, window=window,
            seed=seed, batch_size=batch_size, progress=progress, checkpoints=out / "slices",
        )  # fmt: skip
        paths = write_volumes(map(told.tell, each), len(chosen), out, attributes, dicom=dicom)
    for sentence in sentences(sampler.name, [row["slice"] for row in told.rows], told.verdicts):
        print(f"warning: {sentence}")
    print(f"saved to {', '.join(map(str, [*paths, told.save()]))}")


def mri_simulate(
    images: Path,
    *,
    num_coils: int = 8,
    mask: MaskKind = "random",
    acceleration: float = 4.0,
    calibration: int | None = None,
    snr: float = 30.0,
    matrix: list[int] | None = None,
    slices: list[int] | None = None,
    out: Path = Path("results/scan.h5"),
    seed: int = 0,
) -> None:
    """Simulate a scan of magnitude images, with a random phase, coils and noise: easier than a scanner's.

    Args:
        images: A volume: NIfTI (nii, nii.gz), or a DICOM file or folder of them (dcm); or grey pictures (png, jpg), a
            folder of them, or an array in [-1, 1] (npy, npz), of which -1 is no signal.
        num_coils: Coils, at random places about the image.
        mask: random, equispaced, gaussian-columns, gaussian, poisson or radial.
        acceleration: Nominal acceleration R; what it truly is, is printed.
        calibration: Rows or columns of the middle in which all is measured; 8 % unless given, 4 % where R > 6.
        snr: Mean signal in the object over the noise's standard deviation in each real component.
        matrix: Rows and columns of k-space, as in [96,112], fewer than the images have, so that these are seen as finer
            than pixels; those of the images unless given.
        slices: Numbers of the slices, from 0 on; all unless given.
        out: File, with the keys of fastMRI (h5); the true magnitude is its reconstruction_esc.
        seed: Seed of coils, phases, mask and noise.
    """
    _check_apart(images, out)
    volume = _volume(images)
    chosen, (rows, columns) = chosen_slices(slices, len(volume.values)), volume.values.shape[-2:]
    size = (rows, columns) if matrix is None else tuple(matrix)
    measured = MASKS[mask](size, acceleration, calibration, seed=seed)
    coils = random_maps(num_coils, rows, columns, seed=seed)
    check_writable(out)  # before the work
    noise_std, reference = [], torch.zeros(len(chosen), *size)
    with TemporaryDirectory(dir=out.parent) as waiting:  # k-space of all slices may be larger than memory
        kspace = _on_disk(waiting, (len(chosen), num_coils, *size))
        for index, number in enumerate(chosen):
            made = simulate(volume.values[[number]], coils, snr, seed=seed, shape=matrix, ids=[number])
            kspace[index] = made.kspace[0] * measured
            reference[index] = torch.linalg.vector_norm(made.image[0], dim=0)
            noise_std += made.noise_std.tolist()
        facts = {
            "simulated": True, "images": str(images), "mask": mask, "nominal_acceleration": acceleration, "snr": snr,
            "true_acceleration": true_acceleration(measured), "noise_std": noise_std, "seed": seed,
        }  # fmt: skip
        places = where = None
        if volume.geometry is not None:
            places = [placed_on(volume.geometry.at(number), (rows, columns), size, size) for number in chosen]
            where = volume.geometry.orientation
        write_kspace(out, kspace, measured, reference=reference, attributes=facts, geometry=places)
    print(
        f"{len(chosen)} simulated slices of {' × '.join(map(str, measured.shape))}, {num_coils} coils, SNR {snr:g}; "
        f"mask {mask}, nominal R {acceleration:g}, true R {true_acceleration(measured):.2f}"
        f"{f'; {where}' if where else ''}\nsaved to {out}"
    )


def mri_coils(file: Path, *, out: Path = Path("results/maps.cfl")) -> None:
    """Estimate the coil maps of a scan by ESPIRiT, for a look at them, BART, or `posterior mri recon --maps`.

    Args:
        file: Raw data: fastMRI or ISMRMRD (h5, hdf5, mrd), or BART (cfl, hdr).
        out: Array of BART (cfl and hdr), with the dimensions of k-space; a picture beside it (png) shows magnitudes of
            the first slice.
    """
    _check_apart(file, out)
    check_writable(out)  # before the work
    scan = read_kspace(file)
    with TemporaryDirectory(dir=out.parent) as waiting:  # maps of all slices may be larger than memory
        for index, raw in enumerate(scan):
            maps, words = coil_maps(raw)
            print(f"{raw.source}: {'; '.join([f'{len(maps)} coils, {words}', *raw.notes])}")
            if index == 0:
                stack = _on_disk(waiting, (len(scan), *maps.shape))
            if maps.shape != stack.shape[1:]:
                raise IncompatibleError(f"{raw.source} has {len(maps)} coils, and slices before it {stack.shape[1]}")
            stack[index] = maps
        write_cfl(out, stack.permute(2, 3, 1, 0)[:, :, None, :, None, None, None, None, None, None, None, None, None])
        first = stack[0].clone()
    picture = out.with_suffix(".png")
    save_figure(sample_sheet(as_channels(first), (0.0, 1.0), title="coil sensitivities, magnitude"), picture)
    print(f"saved to {out}; figure: {picture}")


def _check_apart(file: Path, out: Path) -> None:
    """Raise unless what is written is another file than what is read; BART has two with one stem."""
    new, old = (path.resolve().with_suffix("") if path.suffix in _BART else path.resolve() for path in (out, file))
    if new == old:
        raise InvalidValueError(f"{out} would take the place of {file}, which is read; name another place by --out")


def _on_disk(folder: str, shape: tuple[int, ...]) -> Tensor:
    """Complex zeros that are in a file of a folder, not in memory."""
    return torch.from_numpy(np.lib.format.open_memmap(f"{folder}/values.npy", "w+", np.complex64, shape))


def _volume(path: Path) -> Volume:
    """A volume, or pictures as one."""
    if path.name.lower().endswith(_NIFTI):
        return read_nifti(path)
    if any(file.suffix.lower() == _DICOM for file in (path, *path.glob("*"))):
        return read_dicom(path)
    images = load_images(path)
    if images.shape[1] != 1:
        raise IncompatibleError(f"{path} holds pictures in colour; a scan is simulated of grey ones")
    return Volume((images[:, 0] + 1) / 2, None)


class _Told:
    """Slices as they are done: a figure and a line for each, and all of them in a table.

    Args:
        out: Folder for the figures and the table.
        prior: That of the samples.
    """

    def __init__(self, out: Path, prior: Prior) -> None:
        self.out, self.prior = out, prior
        self.rows: list[dict[str, Any]] = []
        self.verdicts: list[Verdict] = []

    def tell(self, one: Reconstruction) -> Reconstruction:
        """Draw a slice, and print what is said of it."""
        facts = {"slice": one.number, **facts_of(one)}
        problem = problem_of([one.prepared], self.prior, [one.number])
        sense = CGSense(replicas=0).solve(problem, progress=False).x[0].cpu()
        figure = mri_figure(one, facts["source"], {"CG-SENSE": one.prepared.scale * sense})
        save_figure(figure, self.out / f"{one.number:03d}.png")
        print(
            f"{facts['source']}: true R {facts['true_acceleration']:.2f}; noise {facts['noise_std']:.3g}, from the "
            f"{facts['noise_from']}; coil maps: {facts['maps_from']}; misfit {one.misfit:.2f} σ; {one.verdict.level}"
            + "".join(f"; {words}" for words in (facts["orientation"], *one.prepared.notes) if words)
        )
        self.rows.append(facts)
        self.verdicts.append(one.verdict)
        return one

    def save(self) -> Path:
        """Write the table, all digits of it."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]))
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.out / _TABLE, text.getvalue())
        return self.out / _TABLE
