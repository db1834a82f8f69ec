"""A study: what it keeps, estimates, refuses, and shows."""

import warnings
from dataclasses import dataclass, field, replace

import pytest
import torch

from benchmarks.fairness.toy import ExactSamples, MixtureMAP
from posterior.errors import CheckpointMismatchError, FileFormatError, InvalidValueError, NotFiniteError, TrustWarning
from posterior.fairness import FairnessReport, FairnessStudy, Groups, Interval
from posterior.figures import fairness_figure, save_figure
from posterior.problem import Posterior
from posterior.verdict import Verdict
from tests.fairness.test_fairness import SHARES, two_groups
from tests.figures.reading import texts


@dataclass(frozen=True)
class Stops:
    """Exact draws, until it is interrupted."""

    when: bool = field(default=True, compare=False)  # a study that goes on is the same
    name: str = "exact again"

    def __call__(self, problem, **options):
        if self.when:
            raise KeyboardInterrupt
        return ExactSamples()(problem, **options)


def test_a_study_that_stopped_goes_on(tmp_path):
    problem, truth, groups = two_groups(1.0, size=30)

    def study(last):
        methods = [MixtureMAP(), ExactSamples(), last]
        return FairnessStudy({"a": (problem, truth), "b": (problem, truth)}, methods, groups)

    def run(last, path=None, seed=0):
        return study(last).run(8, seed=seed, checkpoint=path, progress=False)

    path = tmp_path / "new" / "study.pt"
    with pytest.raises(KeyboardInterrupt):
        run(Stops(), path)
    resumed, whole = run(Stops(when=False), path), run(Stops(when=False))
    assert str(resumed) == str(whole)
    assert str(run(Stops(), path)) == str(whole)  # nothing is left to do
    with pytest.raises(FileFormatError, match="another run"):
        run(Stops(), path, seed=1)


def test_the_findings_of_another_study_are_not_given(tmp_path):
    problem, truth, groups = two_groups(1.0, size=30)
    path = tmp_path / "study.pt"

    def run(problem=problem, truth=truth, groups=groups, size=8, power=2.0):
        errors = {"distance": lambda x, known: ((x - known).abs() ** power).flatten(1).sum(1)}
        study = FairnessStudy({"a": (problem, truth)}, [ExactSamples()], groups, errors=errors)
        return study.run(size, checkpoint=path, progress=False)

    found = str(run())
    assert str(run()) == found
    for other, part in (
        ({"truth": -truth}, "truth of 'a', groups of the truth of 'a'"),
        (
            {"groups": Groups(groups.names, lambda x: 1 - groups.of(x, x.shape[1:]).argmax(-1))},
            "groups of the truth of 'a'",
        ),
        ({"groups": Groups(["x", "y"], lambda x: groups.of(x, x.shape[1:]))}, "names of the groups"),
        ({"power": 2.1}, "values of the error 'distance' of 'a'"),
        ({"size": 10}, "number of samples"),
        ({"problem": Posterior(problem.prior, problem.likelihood, problem.y, range(1, 31))}, "ids of 'a'"),
    ):
        with pytest.raises(CheckpointMismatchError, match=f"different {part};"):
            run(**other)


def test_a_reference_estimates_what_the_prior_would_tell():
    problem, truth, groups = two_groups(1.0, size=2000)
    methods = [MixtureMAP(), ExactSamples()]
    told = FairnessStudy({"toy": (problem, truth)}, methods, groups, truths_from_prior=True)
    guessed = FairnessStudy({"toy": (problem, truth)}, methods, groups, reference="exact posterior")
    (known, _), (estimate, own) = (study.run(64, progress=False).findings for study in (told, guessed))
    assert known.fairness.conditional_is_exact
    assert not estimate.fairness.conditional_is_exact
    assert own.fairness.conditional is None  # of itself a reference knows nothing
    # Both are means over the same measurements; products of errors of 32 draws add at most
    # sqrt((1/128² + 2·.15²/128)/2000) = .0005 to the square .022, .0017 to its root; four of these.
    exact, seen = known.fairness.conditional, estimate.fairness.conditional
    assert exact is not None
    assert seen is not None
    torch.testing.assert_close(seen.value, exact.value, atol=0.007, rtol=0)
    figure = fairness_figure(guessed.run(2, progress=False))
    assert len(figure.axes) == 3  # CPR of MAP alone
    assert "estimated" in guessed.run(2, progress=False).rows()[0][4]
    with pytest.raises(InvalidValueError, match="reference"):
        FairnessStudy({"toy": (problem, truth)}, methods, groups, reference="MAP of another")


@dataclass(frozen=True)
class Doubtful:
    """Exact draws that are not sure of themselves."""

    name: str = "doubtful"

    def __call__(self, problem, **options):
        warnings.warn("not to be trusted", TrustWarning, stacklevel=2)
        return replace(ExactSamples()(problem, **options), verdict=(Verdict("doubtful", ("not to be trusted",)),))


def test_warnings_are_in_the_report_and_not_in_its_way():
    problem, truth, groups = two_groups(1.0, size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = FairnessStudy({"toy": (problem, truth)}, [Doubtful()], groups).run(2, progress=False)
    assert report.findings[0].warnings == ("Samples: doubtful for measurement(s) 0: not to be trusted",) * 2
    assert str(report).endswith("- toy: Samples: doubtful for measurement(s) 0: not to be trusted")


def test_a_method_that_gives_nan_is_named():
    problem, truth, groups = two_groups(1.0, size=4)

    @dataclass(frozen=True)
    class Broken:
        name: str = "broken"

        def __call__(self, problem, **options):
            found = ExactSamples()(problem, **options)
            return replace(found, x=found.x / 0)

    with pytest.raises(NotFiniteError, match="broken on 'toy'"):
        FairnessStudy({"toy": (problem, truth)}, [Broken()], groups).run(2, progress=False)


def test_errors_of_any_kind_by_group():
    problem, truth, groups = two_groups(1.0, size=40)
    errors = {"distance": lambda x, known: (x - known).abs().flatten(1).sum(1)}
    report = FairnessStudy({"toy": (problem, truth)}, [MixtureMAP()], groups, errors=errors).run(2, progress=False)
    found = report.findings[0]
    wrong = 1 - found.fairness.recall.value  # MAP is at −1 or 1, so it is right or 2 away
    torch.testing.assert_close(found.errors["distance"].value, 2 * wrong, atol=1e-6, rtol=0)
    assert isinstance(found.errors["PSNR (dB)"], Interval)
    assert report.header()[-1] == "distance by group"


def test_the_figure_shows_every_gap(tmp_path):
    problem, truth, groups = two_groups(1.0, size=40)
    problems = {"near": (problem, truth), "again": (problem, truth)}
    report = FairnessStudy(problems, [ExactSamples(), MixtureMAP()], groups, truths_from_prior=True).run(
        8, progress=False
    )
    figure = fairness_figure(report, title="Two groups")
    assert len(figure.axes) == 6
    shown = texts(figure)
    assert shown.count("near") == 3
    assert {"PR gap", "Recall", "CPR gap", "Two groups"} <= set(shown)
    first = report.findings[0].fairness.representation.value
    marks = [line.get_xdata()[0] for line in figure.axes[0].get_lines() if line.get_marker() not in ("None", "")]
    assert marks[:2] == pytest.approx(first.tolist())
    assert save_figure(figure, tmp_path / "fairness.png").stat().st_size > 0
    without = FairnessStudy({"near": (problem, truth)}, [MixtureMAP()], groups).run(2, progress=False)
    assert len(fairness_figure(without).axes) == 2  # CPR is not known
    many = torch.full((12,), 1 / 12, dtype=SHARES.dtype)
    problem, truth, groups = two_groups(1.0, many, size=40)
    report = FairnessStudy({"x": (problem, truth)}, [MixtureMAP()], groups).run(2, progress=False)
    assert len({text for text in texts(fairness_figure(report)) if "group" in text}) == 12
    with pytest.raises(InvalidValueError, match="no findings"):
        fairness_figure(FairnessReport(groups.names, ()))
