import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from posterior.errors import ShapeError
from posterior.noise import Noise
from posterior.priors import FlowPrior
from posterior.priors.flows import NetworkFlow
from posterior.training import bits, flow, held_out_bits, train_flow
from posterior.training.flow import dequantised

NETWORK = dict(steps=(2, 1), widths=(6, 5), dense=1, dense_width=8)


def images(count: int = 64) -> Tensor:
    """Bright left or right halves, at random contrast, in 256 grey values."""
    noise = Noise.of(0, count)
    side = torch.where(noise.uniform()[0] < 0.5, -1.0, 1.0) * noise.use("contrast").uniform()[0]
    pattern = torch.tensor([1.0, 1.0, -1.0, -1.0]).expand(1, 4, 4)
    grey = ((side[:, None, None, None] * pattern + 1) * 127.5).round()
    return grey / 127.5 - 1


def test_dequantised_images_fill_the_share_of_their_grey_value() -> None:
    x = images(500)
    wide = dequantised(x, Noise.of(1, 500))
    assert wide.min() > -1 and wide.max() < 1
    assert torch.equal(((wide + 1) * 128).floor(), ((x + 1) * 127.5).round())
    share = (wide + 1) * 128 - ((x + 1) * 127.5).round()
    assert abs(float(share.mean()) - 0.5) < 4 / math.sqrt(12 * share.numel())  # four standard errors of U(0, 1)


def test_bits_are_those_of_a_density_on_the_grey_values() -> None:
    class Even(FlowPrior):
        """Uniform on [−1, 1]: eight bits for each of 256 grey values."""

        event_shape = (1, 2, 2)

        def log_prob(self, x: Tensor) -> Tensor:
            return torch.full(x.shape[:1], -4 * math.log(2.0))

    values = bits(Even(), torch.zeros(3, 1, 2, 2), Noise.of(0, 3))
    assert torch.allclose(values, torch.tensor(8.0))


def test_held_out_bits_do_not_depend_on_the_batch_size() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior = NetworkFlow(flow.ImageFlow((1, 4, 4), **NETWORK))
    whole = held_out_bits(prior, images(20))
    assert held_out_bits(prior, images(20), batch_size=7) == pytest.approx(whole, rel=1e-5)


def test_training_learns_and_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(folder: str) -> NetworkFlow:
        return train_flow(
            images(), tmp_path / folder, held_out=images(20), network=NETWORK | {"dropout": 0.1}, steps=120,
            batch_size=16, learning_rate=0.01, evaluate_every=40, progress=False,
        )  # fmt: skip

    whole = run("whole")
    figures = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in figures] == [40, 80, 120]
    assert figures[-1]["bits"] < figures[0]["bits"] - 0.5

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flow, "held_out_bits", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("parts")
    parts = run("parts")
    assert not any(module.training for module in parts.modules())
    for name, tensor in whole.state_dict().items():
        assert torch.equal(parts.state_dict()[name], tensor)


def test_vectors_are_learned_too(tmp_path: Path) -> None:
    noise = Noise.of(0, 512)
    x = noise.normal((2,))[0]
    x = torch.stack([x[:, 0], 3 + 0.1 * x[:, 1] + 0.5 * x[:, 0] ** 2], 1)
    settings = dict(transforms=2, hidden=(16,))
    prior = train_flow(x, tmp_path, network=settings, steps=120, learning_rate=0.01, progress=False)
    first, second = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(3 + 0.5 * x[:, 0] ** 2, 0.1)
    exact = -float((first.log_prob(x[:, 0]) + second.log_prob(x[:, 1])).mean()) / (2 * math.log(2))
    # The best Gaussian has log2(√(.01 + .5)/.1)/2 = 1.4 bits a dimension more: x2 has variance .01 given x1, .5 of x1.
    assert exact - 0.1 < held_out_bits(prior, x)["bits"] < exact + 0.7


def test_what_is_neither_images_nor_vectors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="vectors"):
        train_flow(torch.zeros(3, 4, 5), tmp_path)
