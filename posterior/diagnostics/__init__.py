"""How far samples can be trusted."""

from posterior.convergence import ess_bulk, ess_mean, ess_tail, mcse_mean, rhat
from posterior.diagnostics.bound import Recovery, recovery
from posterior.diagnostics.calibration import calibrate
from posterior.diagnostics.calibration_table import Calibration, Check
from posterior.diagnostics.components import PrincipalComponents, principal_components
from posterior.diagnostics.conformal import ConformalIntervals, conformal_intervals
from posterior.diagnostics.confusion import RestrictedEigenvalue, restricted_eigenvalue
from posterior.diagnostics.discrepancy import (
    covariance_error,
    energy_distance,
    mean_error,
    mode_weight_error,
    sliced_wasserstein,
    sliced_wasserstein_monte_carlo_error,
)
from posterior.diagnostics.functionals import DEFAULT_FUNCTIONALS, Functional
from posterior.diagnostics.importance import ParetoSmoothed, pareto_smoothed
from posterior.diagnostics.misspecification import ModelCheck, SoundProblems, check_model, sound_problems
from posterior.diagnostics.outliers import find_outliers
from posterior.diagnostics.predictive import PredictiveCheck, predictive_check
from posterior.diagnostics.prior_check import check_prior
from posterior.diagnostics.prior_table import PriorCheck
from posterior.diagnostics.scores import crps, energy_score
from posterior.diagnostics.uniformity import (
    DetectableEffect,
    detectable_effect,
    holm,
    rank_band,
    rank_ecdf,
    rank_p_value,
)

__all__ = [
    "DEFAULT_FUNCTIONALS",
    "Calibration",
    "Check",
    "ConformalIntervals",
    "DetectableEffect",
    "Functional",
    "ModelCheck",
    "ParetoSmoothed",
    "PredictiveCheck",
    "PrincipalComponents",
    "PriorCheck",
    "Recovery",
    "RestrictedEigenvalue",
    "SoundProblems",
    "calibrate",
    "check_model",
    "check_prior",
    "conformal_intervals",
    "covariance_error",
    "crps",
    "detectable_effect",
    "energy_distance",
    "energy_score",
    "ess_bulk",
    "ess_mean",
    "ess_tail",
    "find_outliers",
    "holm",
    "mcse_mean",
    "mean_error",
    "mode_weight_error",
    "pareto_smoothed",
    "predictive_check",
    "principal_components",
    "rank_band",
    "rank_ecdf",
    "rank_p_value",
    "recovery",
    "restricted_eigenvalue",
    "rhat",
    "sliced_wasserstein",
    "sliced_wasserstein_monte_carlo_error",
    "sound_problems",
]
