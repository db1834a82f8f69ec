"""Functions of a user's that do what they must not, given to operators and priors: each is told what it does."""

import pytest
import torch
from torch import Tensor, nn

from posterior import GaussianLikelihood, Posterior, load_prior
from posterior.errors import IncompatibleError, NotFiniteError, PosteriorError, ShapeError
from posterior.operators import Identity, Operator
from posterior.priors import GeneratorPrior, ScorePrior
from posterior.probe import trial_rows, try_out
from samplers import AuxiliaryGibbs
from samplers.guided import DPS, DiffPIR, PiGDM
from tests.problems import DOUBLE, mixture, mixture_problem

GENERATOR = torch.Generator().manual_seed(0)


def noisy(x: Tensor) -> Tensor:
    return x + 1e-3 * x.abs().max() * torch.randn(x.shape, generator=GENERATOR, dtype=x.dtype)


def in_place(x: Tensor) -> Tensor:
    return x.mul_(2).add_(1)


class Buffered:
    """A function whose outputs are one buffer, overwritten at each call, as those of a CUDA graph are."""

    def __init__(self, function) -> None:
        self.function, self.buffers = function, {}

    def __call__(self, x: Tensor, *rest: Tensor) -> Tensor:
        buffer = self.buffers.setdefault(tuple(x.shape), torch.empty_like(x))
        return buffer.copy_(self.function(x, *rest).detach())


def rows() -> Tensor:
    return trial_rows((4,), DOUBLE, torch.device("cpu"))


COUPLED = (
    lambda x: x / x.abs().max(),
    lambda x: x - x.mean(0),
    lambda x: x / len(x),
    lambda x: x.flip(0),
    lambda x: torch.where(x > x.median(), x, 2 * x),
)


@pytest.mark.parametrize("function", COUPLED)
def test_rows_that_meet_are_found(function):
    with pytest.raises(IncompatibleError, match="that depends on the other rows"):
        try_out("f", function, rows())


def test_what_is_random_or_in_place_is_found_and_what_is_neither_is_not():
    with pytest.raises(IncompatibleError, match="f gives different outputs for the same input"):
        try_out("f", noisy, rows())
    with pytest.raises(IncompatibleError, match="f changes in place what it is given"):
        try_out("f", in_place, rows())
    given, calls = rows(), []

    def counted(x: Tensor) -> Tensor:
        calls.append(len(x))
        return 2 * x

    assert torch.equal(try_out("f", counted, given, differentiable=True), 2 * given[:2])
    assert calls == [2, 2, 2, 1] and torch.equal(given, rows())
    assert torch.equal(try_out("f", Buffered(lambda x: x**2), given), given[:2] ** 2)


def test_rounding_of_single_precision_is_allowed_among_doubles():
    """Kernels of a network may sum in another order for another number of rows."""
    given = rows()
    assert try_out("f", lambda x: (x.float() * (1 + 1e-6 * len(x))).double(), given).dtype == DOUBLE


def test_nan_where_a_function_is_not_defined_is_left_to_the_samplers():
    assert bool(try_out("f", torch.log, rows(), differentiable=True).isnan().any())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.detach(), "cannot differentiate f: it runs under torch.no_grad"),
        (torch.no_grad()(torch.sin), "cannot differentiate f: it runs under torch.no_grad"),
        (lambda x: torch.from_numpy(x.detach().numpy()), "cannot differentiate f"),
        (lambda x: torch.from_numpy(x.numpy()), "f fails on torch.float64 values"),
        (torch.round, "the derivative of f is zero everywhere"),
        (torch.sign, "the derivative of f is zero everywhere"),
        (lambda x: x @ torch.ones(5, 5, dtype=DOUBLE), "f fails on torch.float64 values of shape"),
        (lambda x: x.nothing, "f fails on torch.float64 values of shape"),
    ],
)
def test_functions_without_a_derivative_are_found_where_one_is_needed(function, message):
    with pytest.raises(IncompatibleError, match=message):
        try_out("f", function, rows(), differentiable=True)


def test_errors_of_this_library_pass_as_they_are():
    def refuses(x: Tensor) -> Tensor:
        raise ShapeError("of mine")

    with pytest.raises(ShapeError, match="of mine"):
        try_out("f", refuses, rows())


def operator(function, **options) -> Operator:
    return Operator.from_callable(function, event_shape=(4,), measurement_shape=(4,), **options)


def test_operators_are_tried_at_six_calls_at_the_most():
    calls = []
    for linear, count in ((False, 4), (True, 6)):
        calls.clear()
        operator(lambda x: (calls.append(len(x)), 2 * x)[1], linear=linear)
        assert len(calls) == count
    calls.clear()
    operator(lambda x: (calls.append(len(x)), 2 * x)[1], probe=False)
    assert calls == []
    for function in (*COUPLED, noisy, torch.round):
        with pytest.raises(IncompatibleError):
            operator(function)
        operator(function, probe=False)


def test_an_affine_function_is_told_to_subtract_its_offset():
    with pytest.raises(IncompatibleError, match=r"not linear.*subtract f\(0\), from it and from the measurements"):
        operator(lambda x: 3 * x + 1, linear=True)
    with pytest.raises(IncompatibleError, match=r"not linear.*use linear=False"):
        operator(lambda x: 3 * x**2 + 1, linear=True)


def test_operators_work_on_copies():
    x = rows()
    for function in (in_place, Buffered(in_place)):
        bent = operator(function, probe=not isinstance(function, Buffered))
        first = bent(x)
        second = bent(-x)
        assert torch.equal(x, rows()) and torch.equal(first, 2 * x + 1) and torch.equal(second, 1 - 2 * x)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(operator(in_place)(leaf).sum(), leaf)
    assert torch.equal(slope, torch.full_like(x, 2.0))


def test_the_precision_of_an_operator_is_kept():
    with pytest.raises(IncompatibleError, match="gives torch.float64 for torch.float32 images"):
        operator(lambda x: x.double())
    single = operator(lambda x: torch.nn.functional.linear(x, torch.eye(4)))  # works in float32 alone
    single.check(torch.float32)
    with pytest.raises(IncompatibleError, match=r"fails on torch.float64 values.*dtype="):
        single.check(DOUBLE)


class Own(Operator):
    """An operator of a user's own class."""

    def __init__(self, function, shape=(2,)) -> None:
        super().__init__((2,), shape)
        self.function = function

    def _forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (in_place, IncompatibleError, "changes in place"),
        (noisy, IncompatibleError, "different outputs"),
        (COUPLED[0], IncompatibleError, "other rows"),
        (lambda x: x[..., :1], ShapeError, "gives"),
        (torch.round, IncompatibleError, "derivative"),
    ],
)
def test_operators_of_a_class_of_their_own_are_tried_by_the_first_problem(function, error, message):
    y = torch.zeros(3, 2, dtype=DOUBLE)
    with pytest.raises(error, match=message):
        Posterior(mixture(), GaussianLikelihood(Own(function), 0.1), y)
    own = Own(function)
    own.probe = False
    Posterior(mixture(), GaussianLikelihood(own, 0.1), y)


def test_an_operator_is_tried_once_in_each_precision():
    calls = []
    own = Own(lambda x: (calls.append(x.dtype), 2 * x)[1])
    for dtype in (DOUBLE, DOUBLE, torch.float32):
        Posterior(mixture().to(dtype), GaussianLikelihood(own, 0.1), torch.zeros(1, 2, dtype=dtype))
    assert calls == [DOUBLE] * 4 + [torch.float32] * 4


def denoiser(function, **options) -> ScorePrior:
    return ScorePrior.from_denoiser(function, (4,), sigma_max=30.0, **options)


def shrunk(x: Tensor, sigma: Tensor) -> Tensor:
    return x * 0.25 / (0.25 + sigma[:, None] ** 2)


def test_denoisers_are_tried():
    calls = []
    prior = denoiser(lambda x, sigma: (calls.append(len(x)), shrunk(x, sigma))[1])
    assert len(calls) <= 6
    calls.clear()
    for _ in range(2):  # it has been
        Posterior(prior, GaussianLikelihood(operator(torch.tanh), 0.1), torch.zeros(1, 4, dtype=DOUBLE))
    assert calls == []
    for function in COUPLED:
        with pytest.raises(IncompatibleError, match="other rows"):
            denoiser(lambda x, sigma, function=function: function(x))
    with pytest.raises(IncompatibleError, match="different outputs"):
        denoiser(lambda x, sigma: noisy(x))
    with pytest.raises(NotFiniteError, match="gives NaN or infinity at noise levels"):
        denoiser(lambda x, sigma: x / 0)
    with pytest.raises(IncompatibleError, match="fails on"):
        denoiser(lambda x: x)
    assert isinstance(denoiser(lambda x: x, probe=False), ScorePrior)


def test_denoisers_work_on_copies():
    def overwriting(x: Tensor, sigma: Tensor) -> Tensor:
        sigma.square_().add_(0.25)
        return x.mul_(0.25).div_(sigma[:, None])

    x, sigma = rows(), torch.tensor([0.1, 1.0, 5.0], dtype=DOUBLE)
    for function in (overwriting, Buffered(shrunk)):
        prior = denoiser(function)
        first, second = prior.denoise(x, sigma), prior.denoise(-x, sigma)
        assert torch.equal(x, rows()) and torch.equal(first, -second)
        assert torch.allclose(first, shrunk(x, sigma), rtol=1e-12)


def test_samples_do_not_depend_on_who_owns_the_memory():
    exact, problem = mixture(), mixture_problem(2)

    class Overwriting(ScorePrior):
        """A denoiser of a user's own class, which returns one buffer for each shape."""

        event_shape, sigma_data, probe = (2,), exact.sigma_data, False
        sigma_min, sigma_max = exact.sigma_min, exact.sigma_max

        def __init__(self) -> None:
            super().__init__()
            self.function = Buffered(exact._denoise)

        def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            out = self.function(x, sigma)
            x.zero_()
            return out

        def mean(self) -> Tensor:
            return exact.mean()

    for sampler in (AuxiliaryGibbs(chains=4, burn_in=3, thinning=1, steps=4, prior_steps=4), DiffPIR(steps=5)):
        wanted = sampler.sample(problem, 8, batch_size=3, progress=False)
        found = sampler.sample(problem.with_prior(Overwriting()), 8, batch_size=3, progress=False)
        assert torch.equal(found.x, wanted.x)


@pytest.mark.parametrize("sampler", [DPS(steps=3), PiGDM(steps=3)])
def test_a_denoiser_without_gradients_is_refused_by_those_that_need_them_alone(sampler):
    exact, problem = mixture(), mixture_problem()
    prior = ScorePrior.from_denoiser(
        torch.no_grad()(exact._denoise), (2,), sigma_max=exact.sigma_max, sigma_data=exact.sigma_data
    )
    blind = problem.with_prior(prior)
    with pytest.raises(IncompatibleError, match="FunctionPrior gives none: is it under torch.no_grad"):
        sampler.sample(blind, 2, progress=False)
    assert DiffPIR(steps=3).sample(blind, 2, progress=False).x.isfinite().all()


class Layers(GeneratorPrior):
    """A generator of a user's own."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.latent_shape, self.event_shape = nn.ModuleList(layers), (2,), (2,)


class Each(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, h: Tensor) -> Tensor:
        return self.function(h)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((Each(noisy),), "different outputs"),
        ((Each(COUPLED[1]),), "other rows"),
        ((Each(torch.log),), "NaN or infinity"),
        ((nn.Linear(2, 2), nn.BatchNorm1d(2)), "training mode, in which its BatchNorm1d"),
        ((nn.Linear(2, 2), nn.Dropout(0.1)), "training mode, in which its Dropout"),
        ((nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), "generator Layers fails on"),
    ],
)
def test_generators_are_tried_by_the_first_problem(layers, message):
    with pytest.raises(PosteriorError, match=message):
        Posterior(Layers(*layers), GaussianLikelihood(Own(torch.tanh), 0.1), torch.zeros(1, 2))


def test_generators_work_on_copies():
    z = rows()[:, :2].float()
    prior = Layers(nn.ReLU(inplace=True), Each(Buffered(lambda h: 2 * h)))
    first, second = prior(z), prior(-z)
    assert torch.equal(first, 2 * z.relu()) and torch.equal(second, 2 * (-z).relu())
    assert torch.equal(z, rows()[:, :2].float())


def test_a_network_in_training_mode_is_refused_and_left_as_it_was():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = {name: value.clone() for name, value in network.state_dict().items()}

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
            return self.inner(x)

    with pytest.raises(
        IncompatibleError, match=r"FunctionPrior is in training mode.*BatchNorm1d.*call .eval\(\) first"
    ):
        denoiser(Network())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    prior = denoiser(Network().eval())
    likelihood, y = GaussianLikelihood(operator(torch.tanh), 0.1), torch.zeros(1, 4)
    Posterior(prior, likelihood, y)
    prior.train()
    with pytest.raises(IncompatibleError, match="training mode"):
        Posterior(prior, likelihood, y)


def test_shipped_networks_take_measurements_in_double_precision():
    y = torch.zeros(1, 1, 28, 28, dtype=DOUBLE)
    problem = Posterior(load_prior("digits"), GaussianLikelihood(Identity((1, 28, 28)), 0.5), y)
    assert problem.dtype == DOUBLE
