import itertools
import math

import pytest
import torch

from posterior import GaussianLikelihood, LaplaceLikelihood, Posterior
from posterior.errors import IncompatibleError, InvalidValueError
from posterior.noise import Noise
from posterior.operators import Blur, Fourier, Identity, Inpainting
from posterior.priors import SpikePrior
from samplers import TemperedSMC
from tests.problems import DOUBLE


def test_its_denoiser_is_the_posterior_mean_by_quadrature():
    prior = SpikePrior((1,), 0.2, 0.7)
    axis = torch.linspace(-6, 6, 40_001, dtype=DOUBLE)
    step = float(axis[1] - axis[0])
    slab = 0.2 * torch.distributions.Normal(0.0, 0.7).log_prob(axis).exp() * step
    for z, sigma in itertools.product((-1.5, 0.1, 0.9), (0.05, 0.5, 2.0)):
        noise = torch.distributions.Normal(torch.tensor(0.0, dtype=DOUBLE), sigma)
        likely = noise.log_prob(z - axis).exp() * slab
        zero = 0.8 * noise.log_prob(torch.tensor(z, dtype=DOUBLE)).exp()
        expected = (likely * axis).sum() / (likely.sum() + zero)
        found = prior.denoise(torch.tensor([[z]], dtype=DOUBLE), sigma)
        assert torch.allclose(found[0, 0], expected, atol=1e-6)
        assert torch.allclose(
            prior.responsibilities(torch.tensor([z], dtype=DOUBLE), sigma), 1 - zero / (likely.sum() + zero)
        )


def test_a_single_sum_over_all_sets_is_what_it_should_be():
    """Each set on its own, by the Gaussian that y then has."""
    prior, likelihood = SpikePrior((1, 4), 0.3, 1.5), GaussianLikelihood(Blur.ricker((1, 4), 0.2), 0.4)
    y = likelihood.simulate(prior.exact_sample(1, Noise.of(0, 2, dtype=DOUBLE))[0], Noise.of(1, 2, dtype=DOUBLE))
    exact = prior.posterior(likelihood.double(), y)
    matrix = likelihood.operator(torch.eye(4, dtype=DOUBLE)[:, None]).flatten(1).T
    for b in range(2):
        joint, means = [], []
        for chosen in itertools.product((0.0, 1.0), repeat=4):
            s = torch.tensor(chosen[::-1], dtype=DOUBLE)  # bit 0 comes last in the product
            cross = 1.5**2 * torch.diag(s) @ matrix.T
            law = torch.distributions.MultivariateNormal(
                torch.zeros(4, dtype=DOUBLE), matrix @ cross + 0.16 * torch.eye(4, dtype=DOUBLE)
            )
            joint.append(law.log_prob(y[b, 0]) + sum(math.log(0.3 if k else 0.7) for k in chosen))
            means.append(cross @ torch.linalg.solve(law.covariance_matrix, y[b, 0]))
        joint = torch.stack(joint)
        assert torch.allclose(exact.log_evidence[b], joint.logsumexp(0))
        assert torch.allclose(exact.weights[b], joint.softmax(0))
        assert torch.allclose(exact.mean()[b, 0], joint.softmax(0) @ torch.stack(means))
    draws = exact.sample(4000)
    # 4 standard errors of a mean, of a share and of a mean square
    assert ((draws.mean(0) - exact.mean()).abs() <= 4 * exact.std() / 4000**0.5).all()
    share, p = (draws != 0).double().mean(0), exact.inclusion
    assert ((share - p).abs() <= 4 * (p * (1 - p) / 4000).sqrt() + 1e-9).all()
    squares = (draws - exact.mean()).square()
    assert ((squares.mean(0) - exact.std() ** 2).abs() <= 4 * squares.std(0) / 4000**0.5).all()


def test_masks_and_complex_measurements():
    prior = SpikePrior((1, 5), 0.3, 1.0)
    x = prior.exact_sample(1, Noise.of(3, 2, dtype=DOUBLE))[0]
    mask = torch.tensor([[[True, True, False, True, False]], [[True, False, True, True, True]]])
    for operator in (Inpainting(mask, (1, 5)), Fourier((1, 5))):
        likelihood = GaussianLikelihood(operator, 0.5)
        y = likelihood.simulate(x, Noise.of(4, 2, dtype=DOUBLE))
        exact = prior.posterior(likelihood, y)
        if isinstance(operator, Inpainting):  # entries are independent: each has the denoiser's posterior, or the prior
            expected = torch.where(mask, prior.responsibilities(y, 0.5), 0.3)
            assert torch.allclose(exact.inclusion, expected)
        else:  # all coefficients, orthonormal: the identity with noise in real components, each frequency seen twice
            image = operator.adjoint(y)
            assert torch.allclose(exact.mean(), prior.denoise(image, 0.5), atol=1e-9)


def test_draws_given_a_noisy_signal_have_the_denoisers_mean():
    prior = SpikePrior((3,), 0.3, 1.0)
    z = torch.tensor([0.2, -1.0, 2.0], dtype=DOUBLE)
    draws = prior.exact_denoise(z.expand(20_000, 1, 3), 0.5, Noise.of(0, 1, 20_000, dtype=DOUBLE))[:, 0]
    assert ((draws.mean(0) - prior.denoise(z, 0.5)).abs() <= 4 * draws.std(0) / 20_000**0.5).all()
    share, p = (draws != 0).double().mean(0), prior.responsibilities(z, 0.5)
    assert ((share - p).abs() <= 4 * (p * (1 - p) / 20_000) ** 0.5).all()


def test_a_sampler_finds_the_spikes():
    """Probabilities of spikes against the exact ones; 4 standard errors of a share, half the draws worth one each."""
    prior, likelihood = SpikePrior((1, 8), 0.2, 1.0), GaussianLikelihood(Blur.ricker((1, 8), 0.25).double(), 0.3)
    y = likelihood.simulate(prior.exact_sample(1, Noise.of(2, 2, dtype=DOUBLE))[0], Noise.of(3, 2, dtype=DOUBLE))
    exact = prior.posterior(likelihood, y)
    samples = TemperedSMC("standard", population=512, exact_denoise=True).sample(
        Posterior(prior, likelihood, y), 512, progress=False
    )
    share, p = (samples.x != 0).double().mean(0), exact.inclusion
    assert ((share - p).abs() <= 4 * (p * (1 - p) / 256).sqrt() + 1e-3).all()
    assert ((samples.mean() - exact.mean()).abs() <= 4 * exact.std() / 256**0.5).all()
    assert ((samples.info["log_evidence"] - exact.log_evidence).abs() <= 4 * samples.info["log_evidence_error"]).all()


def test_what_has_no_exact_posterior_is_refused():
    with pytest.raises(IncompatibleError, match="at most 16"):
        SpikePrior((17,), 0.1, 1.0).posterior(GaussianLikelihood(Identity((17,)), 1.0), torch.zeros(1, 17))
    with pytest.raises(IncompatibleError, match="Gaussian noise on a linear"):
        SpikePrior((2,), 0.1, 1.0).posterior(LaplaceLikelihood(Identity((2,)), 1.0), torch.zeros(1, 2))
    with pytest.raises(InvalidValueError, match="rate"):
        SpikePrior((2,), 1.0, 1.0)
