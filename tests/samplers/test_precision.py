"""The same samples on every device, and nearly the same of a network in half precision or compiled."""

import copy
import shutil

import pytest
import torch
from torch import nn

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.networks.unet import UNet
from posterior.operators import Inpainting
from posterior.priors import ScorePrior
from posterior.priors.edm import EDMPrior
from posterior.problem import Posterior
from samplers import DDRM, DPS, KineticLangevin
from samplers.base import Sampler
from samplers.guided import MMPS, PiGDM

SHAPE = (1, 8, 8)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
COMPILER = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
COMPILING = pytest.mark.filterwarnings("ignore:The .grad attribute")  # which torch's compiler reads
SAMPLERS = [DDRM(steps=4), DPS(steps=4), MMPS(steps=4), KineticLangevin("fast")]
each = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)


class Small(nn.Module):
    """A convolution each way, in the preconditioning of an image of standard deviation ½."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        scale = (sigma.square() + 0.25).rsqrt().reshape(-1, 1, 1, 1)
        return 0.25 * scale**2 * x + 0.5 * sigma.reshape(-1, 1, 1, 1) * scale * self.network(x * scale).tanh()


def drawn(network: nn.Module) -> nn.Module:
    """The network with random weights: the last layer of a new one may be zero."""
    draw = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1, generator=draw)
    return network.eval().requires_grad_(False)


def problem_of(prior: ScorePrior) -> Posterior:
    likelihood = GaussianLikelihood(Inpainting.half_image(SHAPE, keep="top"), 0.3)
    y = likelihood.operator.restrict(torch.linspace(-0.5, 0.5, 64).reshape(1, *SHAPE))
    return Posterior(prior, likelihood, y.repeat(2, 1, 1, 1))


def problem() -> Posterior:
    return problem_of(EDMPrior(drawn(UNet(1, (8, 16), 1)), SHAPE, sigma_data=0.5, sigma_max=20.0))


@each
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_every_device_gives_the_same_samples(sampler: Sampler, device: str) -> None:
    """Up to the rounding of convolutions, 1e-6 of images of size 1 a call, without TensorFloat-32's 1e-3."""
    expected = sampler.sample(problem(), 3, progress=False)
    with torch.backends.cudnn.flags(allow_tf32=False):
        found = sampler.sample(problem().to(device), 3, progress=False)
    assert found.x.device.type == device
    assert torch.allclose(found.x.cpu(), expected.x, atol=1e-4, rtol=0)


@each
def test_a_network_in_half_precision_leaves_the_state_as_it_is(sampler: Sampler) -> None:
    """Eight bits are right to 2⁻⁹ = .2 %; errors of a dozen layers add up as their root, to .7 %. Measured: .1 %."""
    single = sampler.sample(problem(), 3, progress=False)
    half = sampler.sample(problem().with_prior(problem().prior.bfloat16()), 3, progress=False)
    assert half.x.dtype == torch.float32
    assert not torch.equal(half.x, single.x)
    assert (half.x - single.x).square().mean().sqrt() < 0.01 * single.x.square().mean().sqrt()


@pytest.mark.parametrize(
    ("sampler", "backend"),
    [
        pytest.param(DDRM(steps=4), "inductor", marks=[COMPILER, pytest.mark.slow]),
        (DDRM(steps=4), "eager"),
        (DPS(steps=4), "aot_eager"),
        (PiGDM(steps=4), "aot_eager"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
@COMPILING
def test_a_compiled_network_gives_the_same_samples(sampler: Sampler, backend: str) -> None:
    """Up to the rounding of single precision, 1e-7 a call, and what four steps make of it."""
    network = drawn(Small())
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(network), backend=backend)
    plain, fast = (ScorePrior.from_denoiser(one, SHAPE, sigma_max=20.0, probe=False) for one in (network, compiled))
    expected = sampler.sample(problem_of(plain), 3, progress=False)
    assert torch.allclose(sampler.sample(problem_of(fast), 3, progress=False).x, expected.x, atol=1e-5, rtol=0)


@COMPILING
def test_a_compiled_network_that_gives_one_gradient_a_call_is_named() -> None:
    torch.compiler.reset()
    compiled = torch.compile(drawn(Small()), backend="aot_eager")
    prior = ScorePrior.from_denoiser(compiled, SHAPE, sigma_max=20.0)
    with pytest.raises(IncompatibleError, match="donated_buffer = False"):
        MMPS(steps=4).sample(problem_of(prior), 3, progress=False)
    torch.compiler.reset()
    with torch._functorch.config.patch(donated_buffer=False):
        MMPS(steps=4).sample(problem_of(prior), 3, progress=False)
