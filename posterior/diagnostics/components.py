"""The directions in which draws of one posterior differ most."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from posterior.checks import Count, checked
from posterior.errors import InvalidValueError, check_finite
from posterior.results import Samples


class PrincipalComponents(NamedTuple):
    """Orthonormal directions of largest variance, in falling order.

    Attributes:
        directions: Of norm 1, or zero where there is no variance left, (k, B, *event_shape).
        std: Standard deviation along each, (k, B).
        share: Of the total variance, (k, B).
    """

    directions: Tensor
    std: Tensor
    share: Tensor


@checked
def principal_components(samples: Samples, count: Count = 3) -> PrincipalComponents:
    r"""Principal components of the posterior, from the singular values of the centred draws.

    $$ x_s - \bar x = \sum_k a_{sk} v_k, \qquad \operatorname{var}(a_{\cdot k}) = \frac{s_k^2}{S - 1} $$

    The squares s² are eigenvalues of the draws' products with each other, or of the entries', whichever are fewer: in
    double precision, so that squaring loses nothing of single. Few draws overstate the variance along the directions that they single out. The sign of a direction is that of its
    largest entry.

    Args:
        samples: Draws (S, B, *event_shape).
        count: Components k.

    Raises:
        InvalidValueError: There are not more draws than components, or count < 1.
        NotFiniteError: A draw holds NaN or infinity.
    """
    size, batch = samples.x.shape[:2]
    rows = samples.x.reshape(size, batch, -1).transpose(0, 1)  # (B, S, n)
    if not 1 <= count <= min(size - 1, rows.shape[2]):
        raise InvalidValueError(
            f"{count} components need 1 ≤ components < draws and no more than an image has entries; there are {size} "
            f"draws of {rows.shape[2]} entries"
        )
    check_finite("samples", rows, "find out where they arose")
    centred = rows.double() - rows.double().mean(1, keepdim=True)
    few = size < rows.shape[2]
    values, vectors = torch.linalg.eigh(centred @ centred.mT if few else centred.mT @ centred)  # rising
    variances = values.flip(1)[:, :count].clamp_min(0) / (size - 1)
    directions = vectors.flip(2)[:, :, :count].mT
    directions = normalize(directions @ centred if few else directions, dim=2)
    largest = directions.gather(2, directions.abs().argmax(2, keepdim=True))
    directions = (directions * largest.sign()).transpose(0, 1).reshape(count, *samples.x.shape[1:])
    total = centred.square().sum((1, 2))[:, None] / (size - 1)
    share = variances / total.clamp_min(torch.finfo(total.dtype).tiny)
    found = PrincipalComponents(directions, variances.sqrt().T, share.T)
    return PrincipalComponents(*(values.to(samples.x.dtype) for values in found))
