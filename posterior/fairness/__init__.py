"""Fairness of reconstructions: representation and parity of groups, with confidence intervals."""

from posterior.fairness.classifiers import (
    Classifier,
    classifier_card,
    list_classifiers,
    load_classifier,
    save_classifier,
)
from posterior.fairness.groups import ComponentGroups, Groups, class_groups
from posterior.fairness.measures import Fairness, Interval, by_group, fairness
from posterior.fairness.reliability import Reliability, reliability
from posterior.fairness.report import FairnessReport, Finding
from posterior.fairness.study import FairnessStudy

__all__ = [
    "Classifier", "ComponentGroups", "Fairness", "FairnessReport", "FairnessStudy", "Finding", "Groups", "Interval",
    "Reliability", "by_group", "class_groups", "classifier_card", "fairness", "list_classifiers", "load_classifier",
    "reliability", "save_classifier",
]  # fmt: skip
