"""All public classes are registered, and all that is registered can be written, and has tests."""

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

import samplers.baselines
import samplers.flows
import samplers.guided
import samplers.latent
import samplers.map
from posterior import likelihoods, operators
from posterior.app.commands.priors import CONVERTERS
from posterior.app.registry import (
    DATA,
    LIKELIHOODS,
    OPERATORS,
    PARAMETERS,
    PRIORS,
    REGISTERED,
    SAMPLERS,
    SHIPPED,
    SOLVERS,
)
from posterior.app.specification import build, usage
from posterior.likelihoods import Likelihood, ParameterPrior
from posterior.operators import LinearOperator, Operator
from posterior.priors.zoo import list_priors
from samplers import Plan, Sampler, Solver, recommend
from tests.app.named import text_of
from tests.operators.cases import CASES
from tests.priors import checkpoints

ABSTRACT = (Sampler, Solver, Operator, LinearOperator, Likelihood, ParameterPrior)
OTHERS = (Plan, recommend)  # which no one builds


@pytest.mark.parametrize(
    ("package", "registered"),
    [
        *((package, SAMPLERS | SOLVERS) for package in (samplers, samplers.guided, samplers.latent, samplers.flows)),
        *((package, SOLVERS) for package in (samplers.map, samplers.baselines)),
        (operators, OPERATORS),
        (likelihoods, LIKELIHOODS | PARAMETERS),
    ],
    ids=lambda value: value.__name__ if isinstance(value, ModuleType) else "",
)
def test_public_classes_are_registered(package: ModuleType, registered: dict[str, object]) -> None:
    public = {name for name in package.__all__ if getattr(package, name) not in (*ABSTRACT, *OTHERS)}
    assert public and public <= set(registered)


def test_kinds() -> None:
    assert set(REGISTERED["method"]) == set(SAMPLERS) | set(SOLVERS)
    assert list(SHIPPED) == list_priors()
    for registered in (SAMPLERS, SOLVERS, OPERATORS, LIKELIHOODS, PARAMETERS, PRIORS, DATA):
        assert len({name.lower() for name in registered}) == len(registered)  # capitals do not matter


def test_every_registered_operator_has_a_case() -> None:
    assert {name.partition(",")[0] for name in CASES} == set(OPERATORS)
    # … that builds it: the name in the text is that of the row.
    assert all(case.text.partition(":")[0].lower() == name.partition(",")[0].lower() for name, case in CASES.items())


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_can_be_named(name: str) -> None:
    built = build("sampler", name)
    assert name.startswith(type(built).__name__)
    for field in dataclasses.fields(built) if name == type(built).__name__ else []:  # each takes the value it has
        value = getattr(built, field.name)
        if isinstance(value, int | float | str):
            assert build("sampler", f"{name}:{field.name}={value}") == built


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_can_be_named(name: str, tmp_path: Path) -> None:
    assert type(build("solver", text_of(name, tmp_path))).__name__ == name


@pytest.mark.parametrize("kind", [kind for kind in REGISTERED if kind != "prior"])
def test_every_argument_can_be_written(kind: str) -> None:
    for name in REGISTERED[kind]:
        assert "VALUE" not in usage(kind, name, "event_shape", "operator" if kind == "likelihood" else "")


@pytest.mark.parametrize("name", CONVERTERS)
def test_every_converter_has_tests(name: str) -> None:
    assert (Path(checkpoints.__file__).parent / f"test_{name.replace('-', '_')}.py").exists()
