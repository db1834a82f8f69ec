"""Measurements of accuracy and speed, whose tables stand under docs/. Each prints its cost and takes --quick."""
