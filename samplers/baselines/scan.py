"""Problems of MRI as reconstructions for comparison take them."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.mri.kspace import divided
from posterior.operators import MultiCoilMRI
from posterior.operators.coils import CoilOperator
from posterior.problem import Posterior

OperatorT = TypeVar("OperatorT", bound=CoilOperator)


def scan_of(name: str, problem: Posterior, kind: type[OperatorT]) -> OperatorT:
    """The operator of a scan with Gaussian noise.

    Raises:
        IncompatibleError: The likelihood or the operator is another; the message begins with the method's name.
    """
    likelihood, operator = problem.likelihood, problem.operator
    if not (isinstance(likelihood, GaussianLikelihood) and isinstance(operator, kind)):
        takes = "MRI" if kind is CoilOperator else kind.__name__
        raise IncompatibleError(
            f"{name} takes Gaussian noise on {takes}, not {type(likelihood).__name__} on {type(operator).__name__}"
        )
    return operator


def sensitivity(operator: CoilOperator) -> Tensor:
    r"""\(\sqrt{\sum_c |S_c|^2}\) in each pixel, ([B,] 1, H, W)."""
    return operator.maps.abs().square().sum(-3, keepdim=True).sqrt()


def normalised(operator: MultiCoilMRI) -> MultiCoilMRI:
    """The operator with maps whose sum of squares is 1 or 0: it sees x times the sensitivity as the other sees x."""
    return MultiCoilMRI(over_sensitivity(operator.maps, operator), operator.mask, operator.measurement_shape[-2:])


def over_sensitivity(x: Tensor, operator: CoilOperator) -> Tensor:
    """Values (..., C or 2, H, W) divided by the sensitivity, and 0 where no coil sees anything."""
    return divided(x, sensitivity(operator))
