"""Checks of any operator against its matrix, A applied to the unit images, in float64."""

from __future__ import annotations

import copy
import math
from contextlib import ExitStack
from unittest.mock import patch

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.operators import LinearOperator, Operator
from posterior.shapes import expand_right

TOLERANCE = 1e-10


@torch.no_grad()
def check_operator(operator: LinearOperator) -> None:
    """All checks of a linear operator."""
    operator = operator.to(torch.float64)
    check_declarations(operator)
    check_conversions(operator)
    check_adjoint(operator)
    check_linear(operator)
    check_batching(operator)
    check_norm(operator)
    check_gram_function(operator)
    check_restrict(operator)
    check_dtype(operator)
    check_move(operator, "meta")
    if torch.cuda.is_available():
        check_move(operator, "cuda")


def random_images(operator: Operator, *lead: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Gaussian images (*lead, *event_shape)."""
    return Noise.of(seed, dtype=dtype).normal((*lead, *operator.event_shape))[0, 0]


def random_measurements(operator: Operator, *lead: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Gaussian measurements (*lead, *measurement_shape), complex where the operator's are."""
    noise = Noise.of(seed, dtype=dtype)
    shape = (*lead, *operator.measurement_shape)
    if operator.is_complex:
        return torch.view_as_complex(noise.normal((*shape, 2))[0, 0])
    return noise.normal(shape)[0, 0]


def num_masks(operator: Operator) -> int | None:
    """B where the operator's parameters differ between measurements, else None."""
    batch = operator(random_images(operator)).shape[: -len(operator.measurement_shape)]
    return batch[0] if batch else None


def materialise(operator: Operator) -> Tensor:
    """The matrix of A as a real map, ([B,] m, n); a complex measurement is its real above its imaginary part."""
    n = math.prod(operator.event_shape)
    images = torch.eye(n, dtype=torch.float64).reshape(n, *operator.event_shape)
    if num_masks(operator):
        images = images.unsqueeze(1)
    columns = operator(images).flatten(-len(operator.measurement_shape))
    if columns.is_complex():
        columns = torch.cat([columns.real, columns.imag], dim=-1)
    return columns.movedim(0, -1)


def inner(a: Tensor, b: Tensor, dims: int) -> Tensor:
    """Re⟨a, b⟩ over the last `dims` dimensions."""
    return (a.conj() * b).real.flatten(-dims).sum(-1)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    """Same shape and type, and a largest difference below `tolerance` relative to the largest value."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    scale = float(expected.abs().max().clamp_min(1e-300)) if expected.numel() else 1.0
    assert float((actual - expected).abs().max()) <= tolerance * max(scale, 1.0)


def check_declarations(operator: Operator) -> None:
    """Precision, device and complex measurements are as the operator says."""
    measured = operator(random_images(operator))
    assert operator.is_complex == measured.is_complex()
    assert operator.dtype in (None, measured.real.dtype)
    assert operator.device in (None, measured.device)


def check_conversions(operator: Operator) -> None:
    """The methods of `Module` that convert to another precision do so."""
    for convert, dtype in (("half", torch.float16), ("bfloat16", torch.bfloat16), ("float", torch.float32)):
        converted = copy.deepcopy(operator)
        assert getattr(converted, convert)() is converted
        assert converted.dtype in (None, dtype)
    x = random_images(operator, dtype=torch.float32)
    single, double = copy.deepcopy(operator).float()(x), copy.deepcopy(operator).double()(x.double())
    assert_close(double.to(single.dtype), single, 1e-4)


def check_adjoint(operator: LinearOperator) -> None:
    """Re⟨Ax, y⟩ = ⟨x, Aᵀy⟩, with and without leading dimensions."""
    for lead in ((), (3, num_masks(operator) or 2)):
        x, y = random_images(operator, *lead), random_measurements(operator, *lead)
        left = inner(operator(x), y, len(operator.measurement_shape))
        right = inner(x, operator.adjoint(y), len(operator.event_shape))
        size = operator(x).abs().max() * y.abs().max() * y[(0,) * len(lead)].numel()
        assert not operator.adjoint(y).is_complex()
        assert float((left - right).abs().max()) <= TOLERANCE * float(size)


def check_linear(operator: LinearOperator) -> None:
    """A(2a − 3b) = 2A(a) − 3A(b)."""
    a, b = random_images(operator, seed=2), random_images(operator, seed=3)
    assert_close(operator(2 * a - 3 * b), 2 * operator(a) - 3 * operator(b))


def check_batching(operator: Operator) -> None:
    """A(x)[s, b] = A(x[s, b]), where A has parameters for each measurement with those of b."""
    check_selection(operator)
    size = num_masks(operator) or 2
    x = random_images(operator, 3, size)
    measured = operator(x)
    assert measured.shape == (3, size, *operator.measurement_shape)
    for b in range(size):
        own = operator.select(torch.tensor([b]))
        assert_close(measured[:, b], own(x[:, [b]])[:, 0])
        if num_masks(operator) is None:
            assert own.num_measured == operator.num_measured
            assert_close(measured[1, b], operator(x[1, b]))


def check_selection(operator: Operator) -> None:
    """`select` takes the parameters of some measurements, runs nothing, and leaves the operator as it was."""
    size = num_masks(operator) or 2
    x, index = random_images(operator, 3, size), torch.tensor([size - 1, 0, size - 1])
    measured, counts = operator(x), torch.as_tensor(operator.num_measured).expand(size)
    classes = {cls for part in operator.modules() for cls in type(part).__mro__}
    with ExitStack() as patches:
        for cls in classes - {object}:
            for name in {"__init__", "_forward", "_adjoint", "forward", "__call__"} & set(vars(cls)):
                patches.enter_context(patch.object(cls, name, side_effect=AssertionError(f"select calls {name}")))
        some = operator.select(index)
    assert type(some) is type(operator)
    assert_close(some(x[:, index]), measured[:, index])
    assert torch.as_tensor(some.num_measured).expand(3).tolist() == counts[index].tolist()
    assert_close(operator(x), measured)
    if num_masks(operator) is None:
        assert some is operator


def check_norm(operator: LinearOperator) -> None:
    """norm() is the largest singular value or at most 5 % above it, for each measurement on its own."""
    exact = torch.linalg.matrix_norm(materialise(operator), 2)
    ratio = operator.norm().cpu() / exact
    assert ratio.shape in ((), exact.shape)
    assert bool((ratio >= 1 - 1e-6).all()) and bool((ratio <= 1.05).all()), ratio
    size = num_masks(operator)
    if size and operator.norm().ndim:
        alone = torch.cat([operator.select(torch.tensor([b])).norm() for b in range(size)])
        assert_close(operator.norm(), alone, 1e-5)


def check_gram_function(operator: LinearOperator) -> None:
    """(1 − κAᵀA)^½ x is that of the eigendecomposition, for one κ and for one a measurement."""
    matrix = materialise(operator)
    values, vectors = torch.linalg.eigh(matrix.mT @ matrix)
    size = num_masks(operator) or 2
    x = random_images(operator, 3, size)
    one = 0.9025 / torch.linalg.matrix_norm(matrix, 2).max() ** 2
    single = copy.deepcopy(operator).to(torch.float32)
    for kappa in (one, one * torch.linspace(0.3, 1, size, dtype=torch.float64)):

        def function(eigenvalues: Tensor, kappa: Tensor = kappa) -> Tensor:
            return (1 - expand_right(kappa, eigenvalues.ndim if kappa.ndim else 0).to(eigenvalues) * eigenvalues).sqrt()

        factors = (1 - kappa[..., None] * values.clamp_min(0)).sqrt()
        flat = x.flatten(-len(operator.event_shape))[..., None]
        expected = vectors @ (factors[..., None] * (vectors.mT @ flat))
        expected = expected[..., 0].reshape(x.shape)
        assert_close(operator.gram_function(function, x), expected, 1e-9)
    assert_close(single.gram_function(function, x.float()), expected.float(), 1e-4)
    ordered = torch.cat([values.new_zeros(1), values.flatten().clamp_min(0)]).sort().values
    gap = int(ordered.diff().argmax())
    if operator.knows_spectrum and ordered[gap + 1] - ordered[gap] > 1e-3 * ordered[-1]:
        # Functions that jump, too: here in the widest gap, where rounding does not matter.
        cut = float(ordered[gap : gap + 2].mean())
        flat = x.flatten(-len(operator.event_shape))[..., None]
        expected = (vectors @ ((values > cut).to(x)[..., None] * (vectors.mT @ flat)))[..., 0].reshape(x.shape)
        assert_close(operator.gram_function(lambda v: (v > cut).to(torch.float64), x), expected, 1e-9)


def check_restrict(operator: LinearOperator) -> None:
    """What is not measured is zero in A(x), plays no part in Aᵀy, and is what num_measured leaves out."""
    size = num_masks(operator) or 2
    x, y = random_images(operator, size), random_measurements(operator, size)
    kept = operator.restrict(y)
    assert_close(operator.restrict(kept), kept)
    assert_close(operator.restrict(operator(x)), operator(x))
    assert_close(operator.adjoint(kept), operator.adjoint(y))
    assert bool(((kept == y) | (kept == 0)).all())
    count = (kept != 0).flatten(1).sum(1)
    assert torch.equal(torch.as_tensor(operator.num_measured).expand(size), count)


def check_dtype(operator: LinearOperator) -> None:
    """float32 in, float32 out, and the same values; back in float64 after that."""
    x, y = random_images(operator), random_measurements(operator)
    single = copy.deepcopy(operator).to(torch.float32)
    low = torch.complex64 if y.is_complex() else torch.float32
    assert_close(single(x.float()), operator(x).to(low), 1e-4)
    assert_close(single.adjoint(y.to(low)), operator.adjoint(y).float(), 1e-4)
    # A norm () or (B,) must not raise the precision of a state that it multiplies.
    assert (x.float()[..., None] * single.norm()).dtype == torch.float32
    double = single.to(torch.float64)
    assert_close(double(x), operator(x), 1e-5)
    assert double.gram_function(torch.ones_like, x).dtype == torch.float64


def check_move(operator: LinearOperator, device: str) -> None:
    """All state moves; "meta" tells on any machine whether something stays behind."""
    operator.norm()  # so that something is cached
    x, y = random_images(operator), random_measurements(operator)
    moved = copy.deepcopy(operator).to(device)
    there = moved(x.to(device)), moved.adjoint(y.to(device))
    assert all(t.device.type == device for t in there)
    if device != "meta":
        assert_close(there[0].cpu(), operator(x))
        assert_close(there[1].cpu(), operator.adjoint(y))
        assert moved.gram_function(torch.ones_like, x.to(device)).device.type == device
