"""Accuracy against known posteriors, and cost."""
