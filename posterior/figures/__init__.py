"""Every figure of the library."""

from posterior.figures.animation import save_gif
from posterior.figures.calibration import calibration_figure
from posterior.figures.comparison import comparison_figure
from posterior.figures.fairness import fairness_figure
from posterior.figures.mri import mri_figure
from posterior.figures.overview import overview_figure
from posterior.figures.page import save_figure
from posterior.figures.posterior import posterior_figure
from posterior.figures.ranks import ranks_figure
from posterior.figures.reliability import reliability_figure
from posterior.figures.sheet import sample_sheet
from posterior.figures.uncertainty import uncertainty_figure

__all__ = [
    "calibration_figure", "comparison_figure", "fairness_figure", "mri_figure", "overview_figure", "posterior_figure",
    "ranks_figure", "reliability_figure", "sample_sheet", "save_figure", "save_gif", "uncertainty_figure",
]  # fmt: skip
