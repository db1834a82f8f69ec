import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior.errors import CheckpointMismatchError, InvalidValueError, ShapeError
from posterior.mri import ReconstructionNetwork, augmented, complex_images, undersampled_scans
from posterior.noise import Noise
from posterior.training import reconstruction_loss, train_reconstruction
from tests.mri.phantom import head

SLICES = head(48, 40).float()[None, None].repeat(4, 1, 1, 1)
IMAGES = complex_images(SLICES, Noise.of(0, 4))  # (4, 2, 24, 20)
SCAN: dict[str, Any] = {"mask": "random", "acceleration": 2.0, "snr": 30.0, "num_coils": 2, "calibration": 8}
SMALL = {"unet": {"width": 4, "pools": 2}, "modl": {"width": 2, "pools": 1, "iterations": 2, "products": 3},
         "varnet": {"cascades": 2, "width": 2, "pools": 1}}  # fmt: skip


def run(folder: Path, network: str, images: Tensor = IMAGES[:2], **options: Any) -> ReconstructionNetwork:
    settings: dict[str, Any] = {"steps": 3, "validation": IMAGES[2:], "progress": False, "settings": SMALL[network]}
    return train_reconstruction(images, folder, network=network, **(settings | SCAN | options))  # type: ignore[arg-type]


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_loss_by_hand() -> None:
    scans = undersampled_scans(IMAGES, Noise.of(0, 4), **SCAN)

    def zero_filled(y: Tensor, operator: Any) -> Tensor:
        x: Tensor = operator.adjoint(y)
        return x

    errors = [
        float((x - truth).norm() / truth.norm()) ** 2
        for x, truth in zip(scans.operator.adjoint(scans.y), scans.truth, strict=True)
    ]
    found = reconstruction_loss(zero_filled, scans)  # type: ignore[arg-type]
    assert float(found) == pytest.approx(sum(errors) / 4)


@pytest.mark.parametrize("network", SMALL)
def test_every_network_learns_to_be_better_than_what_it_begins_with(network: str, tmp_path: Path) -> None:
    # The rate is high because the first 40 of 200 steps of warm-up are all that there are.
    run(tmp_path, network, steps=40, evaluate_every=5, learning_rate=0.5, batch_size=2, snr=5.0)
    figures = [line["validation nmse"] for line in log(tmp_path)]
    assert min(figures) < 0.95 * figures[0]


def test_the_network_that_is_returned_is_the_best_of_the_log(tmp_path: Path) -> None:
    network = run(tmp_path, "unet", steps=12, evaluate_every=1, learning_rate=0.3)  # so high that it goes up and down
    held_out = undersampled_scans(IMAGES[2:], Noise.of(0, 2).use("validation"), **SCAN)
    figures = [line["validation nmse"] for line in log(tmp_path)]
    assert float(reconstruction_loss(network, held_out)) == pytest.approx(min(figures))
    assert min(figures) < figures[-1] and not network.training


def test_images_are_made_anew_in_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def scanned(images: Tensor, noise: Noise, **scan: Any) -> Any:
        seen.append(images)
        return undersampled_scans(images, noise, **scan)

    monkeypatch.setattr("posterior.training.reconstruction.undersampled_scans", scanned)
    run(tmp_path, "unet", SLICES[:1], augment=augmented, steps=2)
    shown = torch.cat(seen[1:])  # after the validation images; the first step's again, by which checkpoints are known
    assert shown.shape[1:] == (2, 24, 20)
    assert len(shown.unique(dim=0)) == 2


def test_scans_of_training_and_validation_are_drawn_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def scanned(images: Tensor, noise: Noise, **scan: Any) -> Any:
        seen.append(noise.use("scan").uniform()[0])
        return undersampled_scans(images, noise, **scan)

    monkeypatch.setattr("posterior.training.reconstruction.undersampled_scans", scanned)
    run(tmp_path, "unet", batch_size=2, steps=2)
    # Two of validation, and two of either step; the first step's come again, by which checkpoints are known.
    assert len(torch.cat(seen).unique()) == 6


def test_the_global_generator_is_left_alone(tmp_path: Path) -> None:
    def weights(network: ReconstructionNetwork) -> Tensor:
        return torch.cat([values.flatten() for values in network.parameters()])

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(tmp_path / "a", "unet")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(weights(run(tmp_path / "b", "unet")), weights(first))
    assert not torch.equal(weights(run(tmp_path / "c", "unet", seed=1)), weights(first))


def test_a_folder_of_other_scans_is_refused(tmp_path: Path) -> None:
    run(tmp_path, "unet")
    for options in ({"snr": 10.0}, {"mask": "equispaced"}, {"validation": IMAGES[:1]}):
        with pytest.raises(CheckpointMismatchError, match="another run"):
            run(tmp_path, "unet", **options)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"validation images are \(M, 2, H, W\)"):
        run(tmp_path, "unet", validation=SLICES)
    with pytest.raises(InvalidValueError, match="no validation images"):
        run(tmp_path, "unet", validation=IMAGES[:0])
    with pytest.raises(InvalidValueError, match="needs other settings for 'unet': .*cascades"):
        run(tmp_path, "unet", settings={"cascades": 2})
    with pytest.raises(ShapeError, match=r"images \(B, 2, H, W\)"):
        run(tmp_path, "unet", SLICES)
