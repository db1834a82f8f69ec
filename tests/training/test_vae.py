import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from posterior.networks.vae import VAE
from posterior.noise import Noise
from posterior.priors.generators import NetworkGenerator
from posterior.training import held_out_elbo, negative_elbo, train_vae, vae, vae_loss


def images(count: int = 64) -> Tensor:
    """Bright left or right halves, at random contrast."""
    noise = Noise.of(0, count)
    side = torch.where(noise.uniform()[0] < 0.5, -1.0, 1.0)
    pattern = torch.tensor([1.0, 1.0, -1.0, -1.0]).expand(1, 4, 4)
    return 0.9 * side[:, None, None, None] * pattern


def small_vae() -> VAE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VAE(2, (6,), (1, 4, 4)).eval()


def test_negative_elbo_is_cross_entropy_plus_divergence() -> None:
    model, x, noise = small_vae(), images(5), Noise.of(3, 5)
    mean, log_variance = model.encoder(x)
    q = torch.distributions.Normal(mean, (log_variance / 2).exp())
    z = q.loc + q.scale * noise.use("latent").normal((2,))[0]
    probability = (model.decoder(z) + 1) / 2
    target = (x + 1) / 2
    cross_entropy = -(target * probability.log() + (1 - target) * (1 - probability).log()).flatten(1).sum(1)
    divergence = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    loss = negative_elbo(model, x, noise)
    torch.testing.assert_close(loss, cross_entropy + divergence, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(vae_loss(model, x, noise), loss.mean())


def test_held_out_figures_do_not_depend_on_the_batch_size() -> None:
    model, x = small_vae(), images(10)
    figures = held_out_elbo(model, x)
    assert held_out_elbo(model, x, batch_size=3) == pytest.approx(figures, rel=1e-5)
    with torch.no_grad():
        squares = (model.decoder(model.encoder(x)[0]) - x).square().mean()
        loss = negative_elbo(model, x, Noise.of(0, 10)).mean()
    assert figures == pytest.approx({"elbo": -float(loss), "reconstruction_mse": float(squares)}, rel=1e-5)


def test_training_learns_and_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(folder: str) -> NetworkGenerator:
        return train_vae(
            images(), tmp_path / folder, held_out=images(20), latent=2, hidden=(12,), dropout=0.1, steps=240,
            batch_size=16, learning_rate=0.02, evaluate_every=80, progress=False,
        )  # fmt: skip

    whole = run("whole")
    lines = (tmp_path / "whole" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [80, 160, 240]
    figures = json.loads(lines[-1])
    start = held_out_elbo(small_vae(), images(20))
    assert figures["reconstruction_mse"] < 0.5 * start["reconstruction_mse"]
    assert figures["elbo"] > start["elbo"] + 1

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vae, "held_out_elbo", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("parts")
    parts = run("parts")
    assert not any(module.training for module in parts.modules())
    for name, tensor in whole.state_dict().items():
        assert torch.equal(parts.state_dict()[name], tensor)
