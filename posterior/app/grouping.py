"""Who is in the images of a job: labels of its data, and what a classifier says of its reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from posterior.errors import InvalidValueError
from posterior.fairness import Classifier, class_groups
from posterior.fairness.groups import all_members
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples


class Grouping:
    """K groups that partition images: known of true images by labels, of reconstructions by a classifier.

    Args:
        labels: What the images of a data set show, (N,); where there are none, the classifier says it.
        classifier: Says who is in an image; where there is none, nothing is known of reconstructions.
        members: Name of a group → its labels, which are classes of the classifier where there is one; those left make
            one more group, "others". Each is a group unless given.

    Attributes:
        names: What the groups are called, (K,).
        labels: Group of each image of the data set, (N,), where labels say it.
        classifier: The classifier, where there is one.

    Raises:
        InvalidValueError: There are neither labels nor a classifier, fewer than two groups, a label in two groups, or
            one that the classifier does not know.
    """

    def __init__(
        self,
        labels: Sequence[str] | None,
        classifier: Classifier | None,
        members: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        known = sorted(set(labels or []))
        if not known and classifier is None:
            raise InvalidValueError("groups are of labels, which the data may have, or of a classifier: name one")
        if classifier is not None and (strange := [name for name in known if name not in classifier.names]):
            raise InvalidValueError(
                f"the data have the label {strange[0]!r}, which the classifier does not know: it has "
                f"{', '.join(classifier.names)}"
            )
        whole = all_members(known if classifier is None else classifier.names, members)
        self.names = tuple(whole)
        if len(self.names) < 2:
            raise InvalidValueError(f"groups need two names or more, and here all are {self.names[0]!r}")
        number = {name: place for place, group in enumerate(whole.values()) for name in group}
        self.labels = None if labels is None else torch.tensor([number[name] for name in labels])
        self.classifier = classifier
        self._groups = None if classifier is None else class_groups(classifier, members)

    def of_truths(self, ids: Sequence[int], truth: Tensor | None) -> Tensor:
        """Memberships of true images, (B, K): by labels, or else by the classifier.

        Args:
            ids: Their places in the data set.
            truth: The images (B, *event_shape), where they are known.
        """
        if self.labels is not None:
            return one_hot(self.labels[list(ids)], len(self.names)).double()
        assert truth is not None
        return self.of_images(truth)

    def of_images(self, x: Tensor) -> Tensor:
        """Memberships by the classifier of images (B, *event_shape): (B, K)."""
        assert self._groups is not None
        return self._groups.of(x, x.shape[1:])

    def of_result(self, result: Samples | PointEstimate) -> Tensor:
        """Mean memberships by the classifier of the samples of each measurement, or those of the estimate: (B, K)."""
        if isinstance(result, PointEstimate):
            return self.of_images(result.x)
        return torch.stack([*map(self.of_images, result.x)]).mean(0)  # B images in a network call

    def check(self, problem: Posterior) -> None:
        """Raise `PosteriorError` unless the classifier takes images of the problem."""
        if self.classifier is not None:
            self.of_images(problem.y.new_zeros(1, *problem.event_shape, dtype=problem.dtype))
