"""What reconstructions do to groups: representation, parity, and how sure one can be of it."""

from posterior.fairness.groups import ComponentGroups, Groups
from posterior.fairness.measures import Fairness, Interval, by_group, fairness
from posterior.fairness.study import FairnessReport, FairnessStudy

__all__ = [
    "ComponentGroups", "Fairness", "FairnessReport", "FairnessStudy", "Groups", "Interval", "by_group", "fairness",
]  # fmt: skip
