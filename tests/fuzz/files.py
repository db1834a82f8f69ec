"""Every kind of file that is read, and ways in which files are damaged."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from posterior import Moments, PointEstimate, Samples, load_prior
from posterior.app.arrays import load_array, load_measurements
from posterior.app.config import Config
from posterior.app.jobs.run import run_job
from posterior.app.report.report import report
from posterior.app.report.source import Source
from posterior.app.study.analysis import analyse
from posterior.app.study.answers import Answers
from posterior.app.study.plan import read_plan
from posterior.app.study.tables import tables
from posterior.data import (
    load_images,
    read_cfl,
    read_dicom,
    read_nifti,
    write_cfl,
    write_dicom,
    write_kspace,
    write_nifti,
)  # fmt: skip
from posterior.errors import FileFormatError, PosteriorError
from posterior.fairness import load_classifier, save_classifier
from posterior.fairness.classifiers import Classifier
from posterior.io.readers import read_array, read_arrays, read_json, read_safetensors, read_torch
from posterior.mri import MoDLNetwork, birdcage_maps, load_network, save_network
from posterior.networks.classifiers import ConvNet
from posterior.networks.drunet import DRUNet
from posterior.networks.mlp_mixer import MLPMixer
from posterior.networks.unet import UNet
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI
from posterior.priors import ScorePrior
from posterior.priors.checkpoints import (
    convert_drunet,
    convert_edm,
    convert_ffdnet,
    convert_galaxygrad,
    convert_ncsnv2,
    convert_score_sde,
    convert_stylegan2,
)
from posterior.priors.edm import EDMPrior
from posterior.priors.zoo import save_prior
from samplers.guided import DDNM
from samplers.map import CSGM
from tests.app.commands.workplace import fill_folder
from tests.fuzz.calls import problem
from tests.fuzz.judgements import MOMENTS, SAMPLES
from tests.fuzz.oracle import finite, watched
from tests.fuzz.scans import PLACE, SCAN, SCAN_MAPS, VALUES
from tests.samplers.map.generators import small_problem

SCANNED = MoDLNetwork(2, 1, 1, 2)


class Reader(NamedTuple):
    """Something public that reads a file.

    Attributes:
        path: The file, in the folder that `fill` filled.
        read: Gives what is in it as numbers, and works with it.
        summed: Whether the format has check sums, so that a changed bit is noticed.
    """

    path: str
    read: Callable[[Path], Any]
    summed: bool = False


def fill() -> None:
    """Write a good file of every kind to the working folder."""
    fill_folder()
    values = Noise.of(0).uniform((2, 1, 8, 8))[0, 0].numpy()
    Image.fromarray((255 * values[0, 0]).astype(np.uint8)).save("grey.png")
    Image.fromarray((65535 * values[0, 0]).astype(np.uint16)).save("deep.png")
    Image.fromarray((255 * values[0, 0]).astype(np.uint8)).save("grey.jpg")
    np.save("images.npy", values)
    Path("job.yaml").write_text(
        "prior: digits\noperator: identity\nlikelihood: gaussian\ndata: digits\nmethods: [DDRM]\n"
    )
    np.savez("images.npz", x=values)
    SAMPLES.save("samples.npz")
    MOMENTS.save("moments.npz")
    CSGM(restarts=2, steps=3).solve(small_problem(count=1), progress=False).save("estimate.npz")
    DDNM(steps=3).sample(problem(), 2, progress=False, checkpoint="run.ckpt")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ConvNet(1, 2, (4,))
    save_classifier(Classifier(network.eval(), ["a", "b"], (1, 8, 8)), "classifier")
    save_network(SCANNED, "network")
    fill_results()
    fill_study()
    weights = {"conv.weight": torch.ones(2, 2), "bias": torch.ones(2)}
    write_nifti("volume.nii.gz", VALUES, PLACE)
    write_dicom("series", VALUES, PLACE)
    write_cfl("kspace.cfl", VALUES)
    write_kspace("scan.h5", SCAN.kspace, torch.ones(12, 12))
    write_cfl("maps.cfl", SCAN_MAPS.permute(1, 2, 0)[:, :, None])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_prior(EDMPrior(UNet(2, (8,), 1), (2, 12, 12), sigma_data=0.5), "complex")
        torch.save(DRUNet(1, (2, 2, 2, 2), 1).state_dict(), "drunet.pth")
        mixer = MLPMixer(4, 1, 2, 3, 4, 5, 1).state_dict()
    mixer |= {name: tensor[:, None, None] for name, tensor in mixer.items() if re.fullmatch(r"conv_\w+\.bias", name)}
    mixer["conv_out.weight"] = mixer["conv_out.weight"].transpose(0, 1)
    with open("mixer.eqx", "wb") as file:
        for array in (*mixer.values(), torch.tensor(10.0)):
            np.save(file, array.numpy())
    torch.save({"ema": weights, "step": 3}, "weights.pth")
    torch.save(weights, "legacy.pth", _use_new_zipfile_serialization=False)


def fill_results() -> None:
    """Results of a job, of two measurements in a shard each, with groups."""
    Path("labels.txt").write_text("a\nb\n")
    config = Config(
        prior="./score", operator="half:keep=top", likelihood="gaussian:noise_std=1",
        data="pictures:path=images.npy,labels=labels.txt", methods=["DDNM:steps=3", "TotalVariation:steps=3"],
        num_samples=2, keep_samples=True, shard_size=1, classifier="./classifier", out=Path("finished"),
    )  # fmt: skip
    run_job(config, progress=False)


def fill_study() -> None:
    """A reader study with all answers."""
    for method in ("one", "two"):
        Path("rated", method).mkdir(parents=True)
        for image in range(2):
            np.save(Path("rated", method, f"{image}.npy"), np.full((4, 4), 0.5))
    Path("study.yaml").write_text(
        "methods: {one: rated/one, two: rated/two}\nreaders: [ada, grace]\nwindow: [0, 1]\nrepeats: 1\n"
    )
    answers = Answers.create(plan := read_plan(Path("study.yaml")))
    answers.invite()
    for reader in plan.readers:
        while images := answers.current(reader).images:
            answers.save(reader, images, 1000)


def _report(path: Path) -> None:
    folder = next(parent for parent in path.parents if parent.name == "finished")
    report(Source(folder))


def _stored(path: Path) -> Tensor:
    folder = next(parent for parent in path.parents if parent.name == "finished")
    return Samples.load(folder, "DDNM").mean()


def _analysis(plan: Path) -> list[float]:
    """The tables of a study, and the mean ranks in them."""
    answers = Answers(read_plan(plan))
    analysis = analyse(answers.readings(), ("one", "two"), {"ada": 3, "grace": 3})
    assert tables(analysis)
    return [rank for group in analysis.groups for rank in group.mean_rank.values()]


def _prior(path: Path) -> Tensor:
    prior = load_prior(path.parent)
    prior.check(torch.float32)
    if isinstance(prior, ScorePrior):
        return prior.denoise(torch.zeros(1, *prior.event_shape), max(prior.sigma_min, min(1.0, prior.sigma_max)))
    return prior.sample(1, Noise.of(0))  # type: ignore[attr-defined, no-any-return]


def _classifier(path: Path) -> Tensor:
    classifier = load_classifier(path.parent)
    return classifier(torch.zeros(1, *classifier.event_shape))


def _network(path: Path) -> Tensor:
    return load_network(path.parent)(
        torch.ones(1, 2, 6, 6, dtype=torch.complex64), MultiCoilMRI(birdcage_maps(2, 6, 6))
    )


def _converted(convert: Callable[..., Path], **options: Any) -> Callable[[Path], Tensor]:
    return lambda path: _prior(convert(path, Path("converted"), **options) / "config.json")


READERS: dict[str, Reader] = {
    "load_images, png": Reader("grey.png", load_images, summed=True),
    "load_images, 16 bits": Reader("deep.png", load_images, summed=True),
    "load_images, jpg": Reader("grey.jpg", load_images),
    "load_images, npy": Reader("images.npy", load_images),
    "load_images, npz": Reader("images.npz", load_images, summed=True),
    "load_array": Reader("y.npy", load_array),
    "load_measurements": Reader("y.npy", lambda path: load_measurements(path).shape),  # NaN and infinity too
    "read_array": Reader("grey.npy", lambda path: torch.from_numpy(np.array(read_array(path), dtype=float)) * 0),
    "read_arrays": Reader("samples.npz", lambda path: sorted(read_arrays(path)), summed=True),
    "read_json": Reader("score/config.json", lambda path: bool(read_json(path)) and None),
    "read_safetensors": Reader("score/weights.safetensors", lambda path: [*read_safetensors(path)] and None),
    "read_nifti": Reader("volume.nii.gz", lambda path: read_nifti(path).values, summed=True),
    "read_dicom": Reader("series/mean/0001.dcm", lambda path: read_dicom(path).values),
    "read_cfl": Reader("kspace.cfl", lambda path: read_cfl(path).shape),  # any bytes are numbers
    "read_cfl, header": Reader("kspace.hdr", read_cfl),
    "read_torch": Reader("weights.pth", lambda path: read_torch(path) and None),
    "read_torch, legacy": Reader("legacy.pth", lambda path: read_torch(path) and None),
    "Samples.load": Reader("samples.npz", lambda path: Samples.load(path).mean(), summed=True),
    "Moments.load": Reader("moments.npz", lambda path: Moments.load(path).quantile(0.5), summed=True),
    "Samples.load, record": Reader("finished/shards/000001.json", _stored),
    "Samples.load, array": Reader("finished/arrays.zarr/DDNM/samples/c/1/0/0/0/0", _stored),
    "PointEstimate.load": Reader("estimate.npz", lambda path: PointEstimate.load(path).x, summed=True),
    "load_prior, config": Reader("score/config.json", _prior),
    "load_prior, weights": Reader("score/weights.safetensors", _prior),
    "load_prior, generator": Reader("generator/config.json", _prior),
    "load_prior, generator's weights": Reader("generator/weights.safetensors", _prior),
    "load_classifier, config": Reader("classifier/config.json", _classifier),
    "load_classifier, weights": Reader("classifier/weights.safetensors", _classifier),
    "load_network, config": Reader("network/config.json", _network),
    "load_network, weights": Reader("network/weights.safetensors", _network),
    "checkpoint": Reader(
        "run.ckpt", lambda path: DDNM(steps=3).sample(problem(), 2, progress=False, checkpoint=path).x
    ),
    "convert_drunet": Reader("drunet.pth", _converted(convert_drunet, size=8)),
    "convert_ffdnet": Reader("weights.pth", _converted(convert_ffdnet, size=8)),
    "convert_galaxygrad": Reader("mixer.eqx", _converted(convert_galaxygrad)),
    "report, manifest": Reader("finished/manifest.json", _report),
    "report, record": Reader("finished/shards/000001.json", _report),
    "report, array": Reader("finished/arrays.zarr/DDNM/samples/c/1/0/0/0/0", _report),
    "report, groups": Reader("finished/arrays.zarr/groups/c/1/0", _report),
    "report, metadata": Reader("finished/arrays.zarr/DDNM/mean/zarr.json", _report),
    "report, ids": Reader("finished/arrays.zarr/measurement/c/0", _report),
    "study, plan": Reader("study.yaml", _analysis),
    "study, answers": Reader("results/answers.sqlite", lambda path: _analysis(Path("study.yaml"))),
    "convert_edm": Reader("weights.pth", _converted(convert_edm)),
    "convert_ncsnv2": Reader("weights.pth", _converted(convert_ncsnv2, size=8)),
    "convert_score_sde": Reader("legacy.pth", _converted(convert_score_sde, size=8)),
    "convert_stylegan2": Reader("weights.pth", _converted(convert_stylegan2)),
}


def _flipped(content: bytes, share: float) -> bytes:
    place = min(len(content) - 1, int(share * len(content)))
    return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]


def _numbers(change: str) -> Callable[[bytes, float], bytes]:
    """One of the numbers in a text, replaced; of other files, so many bytes."""

    def damaged(content: bytes, share: float) -> bytes:
        found = list(re.finditer(rb"\d+(\.\d+)?", content))
        if not found:
            return change.encode()
        one = found[min(len(found) - 1, int(share * len(found)))]
        return content[: one.start()] + change.encode() + content[one.end() :]

    return damaged


def _of(path: str) -> Callable[[bytes, float], bytes]:
    return lambda content, share: Path(path).read_bytes()


def _json(value: Any) -> Callable[[bytes, float], bytes]:
    return lambda content, share: json.dumps(value).encode()


# Each makes other bytes of those of a file, and of a place between 0 and 1.
DAMAGES: dict[str, Callable[[bytes, float], bytes]] = {
    "cut off": lambda content, share: content[: int(share * len(content))],
    "without its end": lambda content, share: content[:-1],
    "without a part": lambda content, share: (
        content[: int(share * len(content))] + content[int(share * len(content)) + 9 :]
    ),
    "with a bit flipped": _flipped,
    "with more behind": lambda content, share: content + b"more",
    "twice": lambda content, share: content + content,
    "empty": lambda content, share: b"",
    "zeros": lambda content, share: bytes(len(content)),
    "text": lambda content, share: b"text",
    "not UTF-8": lambda content, share: b"\xff\xfe" + content,
    "a larger number": _numbers("888888888888"),
    "a negative number": _numbers("-3"),
    "not a number": _numbers("NaN"),
    "an infinite number": _numbers("1e999"),
    "a word for a number": _numbers('"3"'),
    "null": _json(None),
    "a list": _json([1, 2]),
    "a dictionary": _json({"class": "EDMPrior"}),
    "deeply nested": lambda content, share: b"[" * 100_000,
    "a picture": _of("large.png"),
    "an array": _of("images.npy"),
    "arrays": _of("x.npz"),
    "weights": _of("weights.pth"),
    "other weights": _of("generator/weights.safetensors"),
    "another config": _of("generator/config.json"),
    "a checkpoint": _of("run.ckpt"),
}


def check_file(reader: Reader, damage: str, share: float) -> None:
    """Damage a file, and read it.

    Foreign exceptions are let through. Raises AssertionError where the message does not name the file, what is read is
    not finite, or a damage that a check sum shows is not noticed.
    """
    path = Path(reader.path)
    content = path.read_bytes()
    before = reader.read(path) if reader.summed else None
    broken = DAMAGES[damage](content, share)
    try:
        path.write_bytes(broken)
        with watched():
            result = reader.read(path)
    except FileFormatError as error:
        said = str(error)
    except PosteriorError:
        return  # of what was read, when it was used
    else:
        said = ""
    finally:
        path.write_bytes(content)
    if said:
        assert path.name in said or path.parent.name in said, f"{path} is not named in: {said}"
        return
    assert finite(result), f"read, and not finite: {result}"
    if reader.summed and damage == "with a bit flipped":
        assert isinstance(result, list) or (result.shape == before.shape and torch.equal(result, before)), "another"
