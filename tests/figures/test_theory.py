import torch

from posterior.diagnostics import Recovery, RestrictedEigenvalue
from posterior.figures.theory import theory_figure


def ratios(least: float) -> RestrictedEigenvalue:
    return RestrictedEigenvalue(*(torch.tensor([factor * least, 5.0]) for factor in (3, 2, 1)))


def test_curves_are_the_least_ratios_and_the_terms() -> None:
    eigenvalues = {"Gaussian": {10: ratios(0.1), 50: ratios(0.3)}, "inpainting": {10: ratios(0.01), 50: ratios(0.02)}}
    one = Recovery(*(torch.tensor([value, 3 * value]) for value in (1.0, 0.5, 0.1, 0.0)))
    figure = theory_figure(eigenvalues, {10: one, 50: one})
    left, right = ({line.get_label(): line for line in axes.get_lines()} for axes in figure.axes)
    assert list(left["Gaussian, adversarial"].get_xdata()) == [10, 50]
    assert torch.allclose(torch.tensor(left["Gaussian, adversarial"].get_ydata()), torch.tensor([0.1, 0.3]).double())
    assert torch.allclose(torch.tensor(left["inpainting, random"].get_ydata()), torch.tensor([0.03, 0.06]).double())
    means = {name: line.get_ydata()[0] for name, line in right.items()}
    expected = {"error": 2.0, "6 · representation": 6.0, "3 · noise": 0.6, "bound": 6.6}
    assert all(abs(means[name] - value) < 1e-6 for name, value in expected.items())
    assert means["2 · optimisation"] != means["2 · optimisation"]  # zero has no place on a logarithmic axis
    labels = [axes.get_xlabel() for axes in figure.axes] + [axes.get_ylabel() for axes in figure.axes]
    assert all(labels) and [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["10", "50"]
