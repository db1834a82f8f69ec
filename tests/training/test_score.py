import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from posterior.errors import CheckpointMismatchError, IncompatibleError, InvalidValueError, ShapeError
from posterior.networks.unet import UNet
from posterior.noise import Noise
from posterior.priors.edm import EDMPrior
from posterior.priors.zoo import load_prior, save_prior
from posterior.training import denoising_loss, held_out_denoising_error, mirrored, train_score

SHAPE = (1, 4, 4)
STD = 0.6


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.function(x, label)


def gaussian() -> EDMPrior:
    """The exact denoiser of N(0, STD²)."""
    return EDMPrior(Function(lambda x, label: torch.zeros_like(x)), SHAPE, sigma_data=STD)


def images(count: int) -> Tensor:
    return STD * Noise.of(5, count).normal(SHAPE)[0]


def stripes(count: int) -> Tensor:
    """One of two patterns."""
    side = torch.where(Noise.of(2, count).uniform()[0] < 0.5, -1.0, 1.0)
    return 0.9 * side[:, None, None, None] * torch.tensor([1.0, 1.0, -1.0, -1.0]).expand(SHAPE)


def test_the_weights_make_the_loss_of_a_gaussian_one_at_every_level() -> None:
    """The weighted square of each entry is then χ²₁: the mean of n has standard deviation √(2/n)."""
    x = images(2000)
    loss = float(denoising_loss(gaussian(), x, Noise.of(0, len(x))))
    assert abs(loss - 1) < 4 * (2 / x.numel()) ** 0.5


def test_levels_stay_in_range_and_the_loss_finite() -> None:
    prior = gaussian()
    prior.sigma_min, prior.sigma_max = 0.5, 0.6
    for step in range(20):
        assert bool(denoising_loss(prior, images(50), Noise.of(0, 50).at(step)).isfinite())


def test_held_out_error_of_the_exact_denoiser() -> None:
    """It is the posterior variance s²σ²/(s² + σ²) of a Gaussian, up to √(2/n) of itself."""
    x, levels = images(1000), (0.1, 0.6, 5.0)
    errors = held_out_denoising_error(gaussian(), x, levels)
    assert list(errors) == ["mse@0.1", "mse@0.6", "mse@5"]
    for level, error in zip(levels, errors.values(), strict=True):
        exact = STD**2 * level**2 / (STD**2 + level**2)
        assert abs(error / exact - 1) < 4 * (2 / x.numel()) ** 0.5
    assert held_out_denoising_error(gaussian(), x, levels, batch_size=7) == pytest.approx(errors, rel=1e-5)


def test_held_out_error_of_a_denoiser_that_returns_zero() -> None:
    """D = 0 where F(u, ¼ log σ) = −(σ_d/σ) u; the error is then the images' mean square."""
    zero = EDMPrior(Function(lambda x, c: -STD * (-4 * c).exp()[:, None, None, None] * x), SHAPE, sigma_data=STD)
    x = images(20)
    for error in held_out_denoising_error(zero, x).values():
        assert error == pytest.approx(float(x.square().mean()), rel=1e-4)


def test_training_learns(tmp_path: Path) -> None:
    x, held_out = stripes(64), stripes(80)[64:]
    untrained = EDMPrior(UNet(1, (8,), 1), SHAPE, sigma_data=float(x.std()))
    before = held_out_denoising_error(untrained, held_out)
    prior = train_score(
        x, tmp_path, held_out=held_out, widths=(8,), blocks=1, patch=1, steps=60, batch_size=16, learning_rate=0.1,
        evaluate_every=40, dropout=0, autocast=False, progress=False,
    )  # fmt: skip
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [40, 60]
    after = held_out_denoising_error(prior, held_out)
    assert {name: log[-1][name] for name in after} == pytest.approx(after, rel=1e-5)
    # Two patterns are told apart with ease at these levels, where a Gaussian's denoiser leaves much of the noise.
    for level in ("mse@0.5", "mse@1", "mse@2"):
        assert after[level] < 0.5 * before[level]
    assert {path.name for path in tmp_path.glob("*.png")} == {"samples-40.png", "samples-60.png"}
    assert prior.sigma_data == pytest.approx(float(x.std()))
    assert not prior.training


def test_a_step_in_bfloat16(tmp_path: Path) -> None:
    prior = train_score(stripes(8), tmp_path, widths=(8,), steps=2, batch_size=4, progress=False)
    assert prior.dtype == torch.float32
    assert all(bool(p.isfinite().all()) for p in prior.parameters())


def pairs(lines: Tensor, noise: Noise) -> Tensor:
    """Images (N, 2, 4, 4) of lines (N, 4), with noise on top."""
    return lines[:, None, None].expand(-1, 2, 4, 4) + 0.5 * noise.normal((2, 4, 4))[0]


def test_images_are_made_anew_in_each_step(tmp_path: Path) -> None:
    """Of lines, here; a run that was stopped goes on with those of the next step."""
    lines, batches = stripes(8)[:, 0, :, 0], []

    def watched(chosen: Tensor, noise: Noise) -> Tensor:
        if len(batches) == stop:
            raise KeyboardInterrupt
        batches.append(pairs(chosen, noise))
        return batches[-1]

    def run(folder: Path, augment: Callable[[Tensor, Noise], Tensor] = watched) -> Tensor:
        prior = train_score(
            lines, folder, augment=augment, value_range=(-3.0, 3.0), widths=(8,), steps=3, batch_size=4,
            evaluate_every=2, progress=False,
        )  # fmt: skip
        assert (prior.event_shape, prior.value_range) == ((2, 4, 4), (-3.0, 3.0))
        assert prior.sigma_data == pytest.approx(float(batches[0].std()), rel=0.5)
        return torch.cat([p.flatten() for p in prior.parameters()])

    stop = -1
    whole = run(tmp_path / "whole")
    assert len({float(batch.sum()) for batch in batches if len(batch) == 4}) == 3
    batches, stop = [], len(batches) - 1
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped")
    stop = -1
    assert torch.equal(run(tmp_path / "stopped"), whole)
    with pytest.raises(CheckpointMismatchError, match="values of the loss"):
        run(tmp_path / "whole", lambda chosen, noise: 1.1 * pairs(chosen, noise))


def shifted(count: int) -> tuple[Tensor, Tensor]:
    """Images that are −0.9 or 0.9 throughout, and which of the two."""
    which = (Noise.of(2, count).uniform()[0] < 0.5).long()
    return (1.8 * which - 0.9)[:, None, None, None].expand(-1, *SHAPE), which


def test_classes_are_learned_and_so_is_what_there_is_without_them(tmp_path: Path) -> None:
    """In much noise the mean of a class is all there is to say; without one it is the mean of all images."""
    x, labels = shifted(200)

    def run(steps: int) -> EDMPrior:
        return train_score(
            x, tmp_path, labels=labels, widths=(8,), blocks=1, patch=1, steps=steps, batch_size=64, learning_rate=0.03,
            dropout=0, autocast=False, progress=False,
        )  # fmt: skip

    run(50)
    prior = run(150)  # goes on
    noisy = x[:50] + 5 * Noise.of(1, 50).normal(SHAPE)[0]
    told = [float(prior.with_class(which).denoise(noisy, 5.0).mean()) for which in (0, 1)]
    assert told[0] < -0.6 < -0.4 < float(prior.denoise(noisy, 5.0).mean()) < 0.4 < 0.6 < told[1]
    save_prior(prior, tmp_path / "saved")
    again = load_prior(tmp_path / "saved", class_label=1)
    assert torch.allclose(again.denoise(noisy, 5.0), prior.with_class(1).denoise(noisy, 5.0))
    labels = 1 - labels
    with pytest.raises(CheckpointMismatchError, match="training data"):
        run(151)


def test_training_begins_with_the_weights_of_another_prior(tmp_path: Path) -> None:
    """With the smallest steps there are, nothing else is learned in two of them."""
    x, held_out = stripes(64), stripes(80)[64:]

    def run(folder: str, images: Tensor, **options: Any) -> EDMPrior:
        return train_score(
            images, tmp_path / folder, held_out=held_out, blocks=1, patch=1, batch_size=16, dropout=0, autocast=False,
            progress=False, **({"widths": (8,)} | options),
        )  # fmt: skip

    first = run("first", x, steps=100, learning_rate=0.03)
    second = run("second", 0.5 * x, steps=2, learning_rate=1e-12, start=first)
    assert second is not first and second.sigma_data == first.sigma_data
    assert held_out_denoising_error(second, held_out) == pytest.approx(held_out_denoising_error(first, held_out))
    with pytest.raises(IncompatibleError, match=r"start has widths \[8\], not \[4\] as what is to be trained"):
        run("third", x, steps=2, widths=(4,), start=first)
    with pytest.raises(IncompatibleError, match=r"start has images of shape \[1, 4, 4\], not \[1, 2, 4\]"):
        train_score(x[..., :2, :], tmp_path / "fourth", widths=(8,), patch=1, start=first, progress=False)


def test_labels_that_make_no_sense(tmp_path: Path) -> None:
    x, labels = shifted(5)
    for wrong in (labels[:4], labels.float(), labels - 3, labels[:, None], labels == 1):
        with pytest.raises(InvalidValueError, match="labels are whole numbers from 0, one for each of 5 images"):
            train_score(x, tmp_path, labels=wrong, progress=False)


def test_mirror_images() -> None:
    """Of n images n/2 ± 4 √n/2 are mirrored."""
    x = Noise.of(0, 400).normal((2, 3, 5))[0]
    made = mirrored(x, Noise.of(1, 400))
    turned = (made == x.flip(-1)).flatten(1).all(1)
    assert torch.equal(made[~turned], x[~turned]) and abs(int(turned.sum()) - 200) < 40


def test_images_that_make_no_sense(tmp_path: Path) -> None:
    for wrong in (torch.zeros(5, *SHAPE), stripes(5)[0], stripes(5)[:0], stripes(5) * torch.nan):
        with pytest.raises(InvalidValueError, match="N, C, H, W|images to be a tensor of finite"):
            train_score(wrong, tmp_path, progress=False)
    with pytest.raises(ShapeError, match="patch = 3"):
        train_score(stripes(5), tmp_path, widths=(8,), patch=3, progress=False)
