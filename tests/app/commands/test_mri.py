import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from posterior.app.cli import main
from posterior.app.commands import mri as commands
from posterior.data import Geometry, read_cfl, read_dicom, read_kspace, read_nifti, write_dicom, write_nifti
from posterior.networks.unet import UNet
from posterior.priors.edm import EDMPrior
from posterior.priors.zoo import save_prior
from tests.app.commands.workplace import QUIET, mistake
from tests.data.scans import lines, noise_scan, write_ismrmrd
from tests.mri.phantom import head

SHAPE = (24, 20)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with priors of random weights, and a volume of two slices."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_prior(EDMPrior(UNet(2, (8,), 1), (2, *SHAPE), sigma_data=0.5), "complex")
        save_prior(EDMPrior(UNet(1, (8,), 1), (1, *SHAPE), sigma_data=0.5), "grey")
    volume = torch.stack([head(*SHAPE), 0.5 * head(*SHAPE)]).float()
    write_nifti("head.nii.gz", volume, Geometry((5.0, 2.0, 2.0)))


def simulate(*args: str) -> None:
    main(
        [
            "mri",
            "simulate",
            "head.nii.gz",
            "--num_coils=4",
            "--acceleration=2",
            "--calibration=8",
            "--out=scan.h5",
            *args,
        ]
    )


def recon(*args: str, file: str = "scan.h5", prior: str = "./complex") -> None:
    usual = ["--accuracy=fast", "--num_samples=3", "--out=out", QUIET]
    main(["mri", "recon", file, f"--prior={prior}", *usual, *args])


@pytest.mark.parametrize("command", ["recon", "simulate", "coils"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["mri", command, "--help"])
    text = capsys.readouterr().out
    word = "IMAGES" if command == "simulate" else "FILE"
    assert text.startswith(f"usage: posterior mri {command} {word} [options]\n")
    for noise in ("type:", "<class", "Path |", "default: null"):
        assert noise not in text


def test_from_a_volume_to_a_volume(capsys: pytest.CaptureFixture[str]) -> None:
    simulate()
    assert re.search(
        r"2 simulated slices of 24 × 20, 4 coils, SNR 30; mask random, nominal R 2, true R 2\.00", said(capsys)
    )
    recon("--batch=2")
    text = said(capsys)
    assert "scan.h5, slice 1: true R 2.00; noise " in text
    assert text.count("from the border of k-space; coil maps: ESPIRiT of the middle 24 × 8; misfit ") == 2
    assert "warning: KineticLangevin: " in text  # of a network that was never trained
    with h5py.File("out/reconstruction.h5") as file:
        assert file["draws"].shape == (3, 2, *SHAPE)
        assert (file.attrs["prior"], file.attrs["scan"], file.attrs["seed"]) == ("./complex", "scan.h5", 0)
        levels = [verdict.partition(":")[0] for verdict in file.attrs["verdict"]]
    for level in levels:
        assert f"σ; {level}\n" in text
    assert nibabel.load("out/draws.nii.gz").shape == (20, 24, 2, 3)
    with open("out/summary.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["slice"] for row in rows] == ["0", "1"]
    assert [row["verdict"].partition(":")[0] for row in rows] == levels
    for name in ("000", "001"):
        with Image.open(f"out/{name}.png") as figure:
            assert min(figure.size) > 100


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_series_of_dicom_files_in_and_out(capsys: pytest.CaptureFixture[str]) -> None:
    write_dicom("series", read_nifti("head.nii.gz").values, Geometry((5.0, 2.0, 2.0)))
    main(["mri", "simulate", "series/mean", "--num_coils=4", "--acceleration=2", "--calibration=8", "--out=scan.h5"])
    recon("--dicom")
    assert "out/dicom" in said(capsys)
    assert {folder.name for folder in Path("out/dicom").iterdir()} == {"mean", "std", "draw_01", "draw_02", "draw_03"}
    with h5py.File("out/reconstruction.h5") as file:
        for name, written in {"mean": file["reconstruction"][()], "draw_03": file["draws"][2]}.items():
            values = read_dicom(f"out/dicom/{name}").values.numpy()
            np.testing.assert_allclose(values, written, atol=np.ptp(written) / 65535)


def test_a_simulated_scan_lies_where_its_images_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Pixels of another size, with the one at (⌊H/2⌋, ⌊W/2⌋) in its place; every second slice."""
    axes = ((0.0, 0.6, 0.8), (0.0, 0.8, -0.6), (1.0, 0.0, 0.0))
    place = Geometry((5.0, 2.0, 2.0), (10.0, -20.0, 30.0), axes)
    write_nifti("placed.nii", head(*SHAPE).float().expand(3, -1, -1), place)
    main(["mri", "simulate", "placed.nii", "--matrix=[12,10]", "--slices=[0,2]", "--calibration=2", "--out=scan.h5"])
    assert "; rows go to the back, columns to the left\n" in said(capsys)
    first, second = (raw.geometry for raw in read_kspace("scan.h5"))
    assert first is not None and second is not None
    assert first.spacing == pytest.approx((5, 4, 4))
    for index, one in enumerate((first, second)):
        middle, expected = one.affine() @ [0, 6, 5, 1], place.affine() @ [2 * index, 12, 10, 1]
        np.testing.assert_allclose(middle, expected, atol=1e-4)
    main(["mri", "simulate", "head.nii.gz", "--out=scan.h5"])
    assert read_kspace("scan.h5")[1].geometry == Geometry((5.0, 2.0, 2.0))
    Image.fromarray((255 * head(*SHAPE)).byte().numpy()).save("head.png")
    main(["mri", "simulate", "head.png", "--out=scan.h5"])
    assert read_kspace("scan.h5")[0].geometry is None


def test_slices_are_simulated_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And have the phase and noise of their number, whichever are chosen."""
    simulate()
    whole = read_kspace("scan.h5")[1].kspace
    seen, real = [], commands.simulate

    def watched(magnitude: torch.Tensor, *args: Any, **options: Any) -> Any:
        seen.append(len(magnitude))
        return real(magnitude, *args, **options)

    monkeypatch.setattr(commands, "simulate", watched)
    simulate()
    assert seen == [1, 1]
    simulate("--slices=[1]")
    torch.testing.assert_close(read_kspace("scan.h5")[0].kspace, whole)


def test_a_run_goes_on_and_a_choice_of_slices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate()
    recon("--slices=[1]")
    assert not Path("out/000.png").exists()
    with h5py.File("out/reconstruction.h5") as file:
        first = file["draws"][()]
    made = Path("out/slices/001.pt").stat().st_mtime_ns
    recon()
    assert Path("out/slices/001.pt").stat().st_mtime_ns == made
    with h5py.File("out/reconstruction.h5") as file:
        np.testing.assert_array_equal(file["draws"][:, 1], first[:, 0])
    assert "out/slices/000.pt is the checkpoint of another run: different seed" in mistake(capsys, recon, "--seed=1")


def test_coil_maps_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    simulate()
    main(["mri", "coils", "scan.h5", "--out=coils/maps.cfl"])
    assert "scan.h5, slice 1: 4 coils, ESPIRiT of the middle 24 × 8" in said(capsys)
    assert read_cfl("coils/maps").shape == (24, 20, 1, 4, *[1] * 9, 2)
    assert Path("coils/maps.png").exists()
    recon("--maps=coils/maps.cfl", "--slices=[0]")
    assert "coil maps: file" in said(capsys)


def test_a_scan_with_a_noise_scan_and_another_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = noise_scan()
    quiet.data[:] *= 2e-2
    again = lines()
    for line in again:
        line.idx.average = 1
    write_ismrmrd(Path("scan.mrd"), [quiet, *lines(), *again])
    recon("--matrix=[24,20]", "--slices=[2]", file="scan.mrd")
    text = said(capsys)
    assert re.search(r"scan.mrd, slice 2: true R 4.00; noise [\d.]+, from the noise scan", text)
    assert "; rows go to the back, columns to the left; 2 averages of each line were averaged\n" in text
    image = nibabel.load("out/mean.nii.gz")
    np.testing.assert_allclose(image.header.get_zooms(), (7.5, 10, 5))
    assert image.header["sform_code"] > 0


def test_one_volume_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    second = lines()
    for line in second:
        line.idx.contrast = 1
    write_ismrmrd(Path("scan.mrd"), [*lines(), *second])
    choice = "scan.mrd holds 2 volumes, and one is reconstructed at a time; name slices of one "
    expected = choice + "(contrast 0: [0,1,2]; contrast 1: [3,4,5])"
    assert expected in mistake(capsys, recon, "--matrix=[24,20]", file="scan.mrd")
    assert expected in mistake(capsys, recon, "--slices=[2,3]", "--matrix=[24,20]", file="scan.mrd")
    recon("--slices=[3,5]", "--matrix=[24,20]", file="scan.mrd")
    assert "scan.mrd, contrast 1, slice 2: " in said(capsys)


def test_the_middle_of_a_larger_field_of_view(capsys: pytest.CaptureFixture[str]) -> None:
    large = torch.nn.functional.pad(head(*SHAPE).float(), (4, 4, 3, 3))[None]
    write_nifti("large.nii.gz", large, Geometry((5.0, 2.0, 2.0)))
    main(["mri", "simulate", "large.nii.gz", "--acceleration=2", "--calibration=8", "--out=scan.h5"])
    assert "or for both" in mistake(capsys, recon)
    recon("--window")
    assert nibabel.load("out/mean.nii.gz").shape == (20, 24, 1)
    with Image.open("out/000.png") as figure:
        assert min(figure.size) > 100


@pytest.mark.parametrize("mask", ["equispaced", "gaussian-columns", "gaussian", "poisson", "radial"])
def test_every_mask(mask: str) -> None:
    simulate(f"--mask={mask}", "--slices=[0]")
    (raw,) = read_kspace("scan.h5")
    assert raw.facts["mask"] == mask
    assert raw.facts["simulated"]
    assert raw.reference is not None
    assert raw.facts["true_acceleration"] == pytest.approx(raw.mask.numel() / int(raw.mask.sum()))


def test_a_simulation_of_pictures_on_a_coarser_matrix() -> None:
    Image.fromarray((255 * head(48, 40)).byte().numpy()).save("head.png")
    main(["mri", "simulate", "head.png", "--matrix=[24,20]", "--out=scan.h5", "--snr=50"])
    (raw,) = read_kspace("scan.h5")
    assert raw.kspace.shape == (8, 24, 20)
    assert raw.reference is not None
    assert float(raw.reference.max()) == pytest.approx(float(head(48, 40).max()), rel=0.2)


def _no_middle() -> None:
    """The first draw that leaves the middle column out."""
    for seed in range(9):
        simulate("--calibration=0", "--acceleration=4", f"--seed={seed}")
        if not read_kspace("scan.h5")[0].mask[SHAPE[1] // 2]:
            return


MISTAKES: dict[str, tuple[Callable[[], Any] | None, list[str], dict[str, str], str]] = {
    "no file": (None, [], {"file": "nowhere.h5"}, "there is no file nowhere.h5"),
    "another kind": (None, [], {"file": "head.nii.gz"}, "head.nii.gz is not a kind of raw data that is read here"),
    "text": (lambda: Path("text.h5").write_text("text"), [], {"file": "text.h5"}, "text.h5 is corrupt or cut off"),
    "no prior": (simulate, [], {"prior": "brian"}, "no prior is called 'brian'"),
    "a grey prior": (simulate, [], {"prior": "./grey"}, "needs a prior of complex images"),
    "another shape": (
        lambda: simulate("--matrix=[20,20]"), [], {},
        "scan.h5, slice 0: the image has 20 × 20 pixels (2.40 × 2.00 mm), the prior gives 24 × 20: ask for",
    ),
    "a wrong matrix": (simulate, ["--matrix=[24]"], {}, "on (H, W) pixels, or a window in them; got (24,)"),
    "no matrix": (simulate, ["--matrix=large"], {}, "matrix cannot be 'large'; see posterior mri recon --help"),
    "no middle": (_no_middle, [], {}, "the zero frequency, (⌊H/2⌋, ⌊W/2⌋), is not measured"),
    "no slice": (simulate, ["--slices=[2]"], {}, "slices are some of 0 … 1, each once; got [2]"),
    "no maps": (simulate, ["--maps=nowhere.cfl"], {}, "there is no file nowhere.hdr"),
    "accuracy": (simulate, ["--accuracy=best"], {}, "accuracy"),
    "no batch": (simulate, ["--batch=0"], {}, "batch"),
    "one sample": (simulate, ["--num_samples=1"], {}, "num_samples to be"),
    "no slices": (simulate, ["--slices=[]"], {}, "slices are some of 0 … 1, each once; got []"),
    "a slice from the end": (simulate, ["--slices=[-1]"], {}, "slices are some of 0 … 1, each once; got [-1]"),
    "a file in the way": (simulate, ["--out=scan.h5"], {}, "scan.h5"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "args", "files", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes_of_recon(
    before: Callable[[], Any] | None, args: list[str], files: dict[str, str], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if before is not None:
        before()
    assert message in mistake(capsys, recon, *args, **files)


def test_nan_in_a_scan(capsys: pytest.CaptureFixture[str]) -> None:
    simulate()
    with h5py.File("scan.h5", "r+") as file:
        file["kspace"][1, 0, 3, 10] = np.nan
    text = mistake(capsys, recon)
    assert "scan.h5, slice 1: k-space: NaN or infinity" in text
    assert Path("out/slices/000.pt").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere.nii"], "there is no file nowhere.nii"),
        (["nowhere.png"], "nowhere.png does not exist"),
        (["head.nii.gz", "--mask=spiral"], "mask cannot be 'spiral'"),
        (["head.nii.gz", "--acceleration=100"], "acceleration 100 leaves"),
        (["head.nii.gz", "--snr=0"], "snr"),
        (["head.nii.gz", "--slices=[5]"], "slices are some of 0 … 1, each once; got [5]"),
        (["head.nii.gz", "--slices=[]"], "slices are some of 0 … 1, each once; got []"),
        (["head.nii.gz", "--slices=[0,0]"], "slices are some of 0 … 1, each once; got [0, 0]"),
        (["head.nii.gz", "--matrix=[48,40]"], "(48, 40) are not rows and columns within (1, 24, 20)"),
        (["empty.nii"], "simulate got slices that are 0 everywhere, [1]; leave them out"),
        (["empty.nii", "--slices=[2,1]"], "simulate got slices that are 0 everywhere, [1]; leave them out"),
        (["colour.png"], "colour.png holds pictures in colour"),
    ],
)
def test_mistakes_of_simulate(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((24, 20, 3), np.uint8)).save("colour.png")
    write_nifti("empty.nii", torch.stack([head(*SHAPE), 0 * head(*SHAPE), head(*SHAPE)]).float(), None)
    assert message in mistake(capsys, main, ["mri", "simulate", *args, "--out=scan.h5"])
    assert not Path("scan.h5").exists()


def test_mistakes_of_coils(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no file nowhere.h5" in mistake(capsys, main, ["mri", "coils", "nowhere.h5"])
    write_ismrmrd(Path("scan.mrd"), [noise_scan(), *lines([1, 2, 8])])
    assert "zero frequency" in mistake(capsys, main, ["mri", "coils", "scan.mrd"])


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["recon", "out/reconstruction.h5", "--out=out", "--prior=./complex"], "out/reconstruction.h5"),
        (["coils", "kspace.hdr", "--out=kspace.cfl"], "kspace.hdr"),
        (["simulate", "head.npy", "--out=./head.npy"], "head.npy"),
    ],
)
def test_what_is_read_is_not_replaced(words: list[str], kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path(kept).write_text("data")
    assert re.search("would take the place of .*, which is read", mistake(capsys, main, ["mri", *words]))
    assert Path(kept).read_text() == "data"
