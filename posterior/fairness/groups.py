"""Groups of images: who is represented."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.fairness.classifiers import Classifier
from posterior.priors.gaussian_mixture import GaussianMixturePrior
from posterior.problem import Posterior
from posterior.shapes import check_shape


class Groups:
    r"""K groups that partition images: \(x \mapsto (P(1 \mid x), \dots, P(K \mid x))\), hard or soft.

    Args:
        names: What the groups are called.
        assign: Function of images (N, *event_shape) that gives their groups' numbers, integers (N,), or the groups'
            probabilities (N, K): a classifier's, or any rule.

    Raises:
        InvalidValueError: There are fewer than two names, or two are alike.
    """

    def __init__(self, names: Sequence[str], assign: Callable[[Tensor], Tensor]) -> None:
        self.names, self._assign = tuple(names), assign
        if len(set(self.names)) != len(self.names) or len(self.names) < 2:
            raise InvalidValueError(f"groups need two names or more, all different; got {self.names}")

    @torch.no_grad()
    def of(self, x: Tensor, event_shape: Sequence[int]) -> Tensor:
        """P(a | x) of images (..., *event_shape): (..., K).

        Raises:
            ShapeError: The rule gives neither (N,) nor (N, K).
            InvalidValueError: It gives numbers that are no group, or that are no probabilities.
        """
        check_shape("x", x.shape, event_shape)
        lead = x.shape[: x.ndim - len(event_shape)]
        out = self._assign(x.reshape(-1, *event_shape))
        size, count = len(self.names), lead.numel()
        if out.shape == (count,) and not out.is_floating_point():
            if count and not bool(((out >= 0) & (out < size)).all()):
                raise InvalidValueError(
                    f"groups are numbered from 0 to {size - 1}, the rule gave {out.unique().tolist()}"
                )
            out = one_hot(out.long(), size).double()
        if out.shape != (count, size):
            raise ShapeError(
                f"the rule gave {out.dtype} of shape {tuple(out.shape)} for {count} images; expected integers "
                f"({count},) or probabilities ({count}, {size})"
            )
        if not bool((out >= 0).all() and ((out.sum(-1) - 1).abs() < 1e-3).all()):  # NaN is neither
            raise InvalidValueError("the rule's probabilities must not be negative, and sum to 1 for each image")
        return out.double().reshape(*lead, size)

    def given(self, problem: Posterior) -> Tensor | None:
        """P(X ∈ a | y) of each measurement, (B, K), where the prior gives it exactly: points, each in a group.

        It holds for true images X that are draws of the problem's prior.
        """
        prior = problem.prior
        if isinstance(prior, GaussianMixturePrior) and prior.basis is None and not bool(prior.variances):
            exact = prior.posterior(problem.likelihood, problem.y)
            return exact.expectation(lambda x: self.of(x, problem.event_shape))
        return None


class ComponentGroups(Groups):
    r"""Groups of a mixture's components: \(P(a \mid x) = \sum_{k \in a} r_k(x)\), its exact responsibilities.

    $$ P(X \in a \mid y) = \sum_{k \in a} p(k \mid y) $$

    Args:
        prior: The mixture; of an `EmpiricalPrior` each image is a component.
        labels: Group of each component, integers (number of components,).
        names: What the groups are called.

    Raises:
        ShapeError, InvalidValueError: There is not one label from 0 to K − 1 for each component.
    """

    def __init__(self, prior: GaussianMixturePrior, labels: Tensor, names: Sequence[str]) -> None:
        if labels.shape != (prior.num_components,):
            raise ShapeError(f"{prior.num_components} components need as many labels, got shape {tuple(labels.shape)}")
        if not bool(((labels >= 0) & (labels < len(names))).all()):
            raise InvalidValueError(f"labels are from 0 to {len(names) - 1}, got {labels.unique().tolist()}")
        self.prior, self.labels = prior, labels
        super().__init__(names, self._responsibilities)

    def given(self, problem: Posterior) -> Tensor | None:
        prior = problem.prior
        if not (isinstance(prior, GaussianMixturePrior) and torch.equal(prior.means, self.prior.means)):
            return None  # its components are others than those that are labelled
        return self._sums(prior.posterior(problem.likelihood, problem.y).weights)

    def equalised(self) -> GaussianMixturePrior:
        r"""The mixture reweighted so that all groups are equally likely, \(w_k \to w_k / (K\, P(a_k))\).

        Draws of its posterior have representation demographic parity between two groups, P(X̂ ∈ a | X ∈ a) equal for
        both; of more groups in general not.

        Raises:
            IncompatibleError: A group has no probability.
        """
        weights = self.prior.log_weights.double().exp()
        share = self._sums(weights)
        if not bool((share > 0).all()):
            raise IncompatibleError(f"groups without probability cannot be made as likely as others: {share.tolist()}")
        return self.prior.with_weights(weights / share[self.labels.to(share.device)])

    def _responsibilities(self, x: Tensor) -> Tensor:
        # of points the nearest: they have no responsibilities but their own
        level = 0.0 if bool(self.prior.variances.max()) else 1e-3 * self.prior.sigma_data
        return self._sums(self.prior.responsibilities(x, level).double())

    def _sums(self, values: Tensor) -> Tensor:
        return values @ one_hot(self.labels.long(), len(self.names)).to(values)


def class_groups(classifier: Classifier, members: Mapping[str, Sequence[str]] | None = None) -> Groups:
    """Groups of a classifier's classes, by the sums of its probabilities.

    Args:
        classifier: Says what is in an image.
        members: Name of a group → its classes; those left make one more group, "others". Each class is a group unless
            given.

    Raises:
        InvalidValueError: A class is unknown or in two groups.
    """
    if members is None:
        return Groups(classifier.names, classifier)
    whole = all_members(classifier.names, members)
    sums = torch.tensor([[float(name in classes) for classes in whole.values()] for name in classifier.names])

    def assign(x: Tensor) -> Tensor:
        p: Tensor = classifier(x)
        return p @ sums.to(p)

    return Groups(list(whole), assign)


def all_members(classes: Sequence[str], members: Mapping[str, Sequence[str]] | None) -> dict[str, list[str]]:
    """Name of each group → its classes, as `class_groups` has them: those left are "others".

    Raises:
        InvalidValueError: A class is unknown or in two groups.
    """
    if members is None:
        return {name: [name] for name in classes}
    named = [name for group in members.values() for name in group]
    if strange := [name for name in named if name not in classes or named.count(name) > 1]:
        raise InvalidValueError(
            f"groups hold each class at most once, of {', '.join(classes)}; look at {', '.join(strange)}"
        )
    whole = {name: list(group) for name, group in members.items()}
    if rest := [name for name in classes if name not in named]:
        whole["others"] = [*whole.get("others", []), *rest]
    return whole
