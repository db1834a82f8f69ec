"""The command line: `posterior`, of which demo, sample, solve, run, report and others are commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posterior.app import catalogue
from posterior.app.commands.answer import sample, solve
from posterior.app.commands.checks import calibration, model_check, priors_check
from posterior.app.commands.data import data_cifar10
from posterior.app.commands.demo import demo
from posterior.app.commands.fairness import fairness_study
from posterior.app.commands.mri import mri_coils, mri_recon, mri_simulate
from posterior.app.commands.priors import CONVERTERS, priors_list, priors_show
from posterior.app.commands.report import report
from posterior.app.commands.run import run
from posterior.app.commands.study import study_analyse, study_serve
from posterior.app.commands.theory import theory
from posterior.app.commands.train import train_flow, train_mri, train_score, train_vae
from posterior.app.parsing import one_line_errors, parse

_DESCRIPTION = "Draw posterior samples in imaging inverse problems, say how far they can be trusted, compare with MAP."

COMMANDS: dict[str, Any] = {
    "demo": demo,
    "sample": sample,
    "solve": solve,
    "run": run,
    "report": report,
    "train": {
        "_help": "Train a prior of your own, or a network that reconstructs scans.",
        "score": train_score,
        "vae": train_vae,
        "flow": train_flow,
        "mri": train_mri,
    },
    "data": {
        "_help": "Write a data set, of which you have a copy, as files that the other commands read.",
        "cifar10": data_cifar10,
    },
    "priors": {
        "_help": "See what the shipped priors are, check one, or convert a checkpoint to one.",
        "list": priors_list,
        "show": priors_show,
        "check": priors_check,
        "convert": {
            "_help": "Make a prior of a checkpoint of another project; code that is pickled in it is never run.",
            **CONVERTERS,
        },
    },
    "mri": {
        "_help": "Reconstruct MRI scans with their uncertainty, simulate scans, or estimate coil maps.",
        "recon": mri_recon,
        "simulate": mri_simulate,
        "coils": mri_coils,
    },
    "calibrate": calibration,
    "check": model_check,
    "fairness": fairness_study,
    "theory": theory,
    "study": {
        "_help": "Let readers rank reconstructions blind, and analyse their ranks.",
        "serve": study_serve,
        "analyse": study_analyse,
    },
}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake ends in one line on stderr, without a traceback."""
    with one_line_errors():
        parse(args, COMMANDS, _DESCRIPTION, catalogue.CHOICES)()


if __name__ == "__main__":
    main()
