"""Recommendations: which samplers apply is what their own checks say."""

from collections.abc import Callable

import pytest

from posterior.app.registry import SAMPLERS
from posterior.errors import PosteriorError
from posterior.problem import Posterior
from samplers import recommend
from tests.problems import mixture_problem
from tests.samplers.case import counts_problem, generated
from tests.samplers.flows.flows import bent_flow_batch

KINDS = {name: kind for name, kind in SAMPLERS.items() if isinstance(kind, type)}


@pytest.mark.parametrize("problem", [mixture_problem, counts_problem, generated, bent_flow_batch])
def test_every_sampler_is_recommended_or_refused(problem: Callable[..., Posterior]) -> None:
    posed = problem()
    found = recommend(posed, 3)
    assert set(found.plans) | set(found.refused) == set(KINDS) and not set(found.plans) & set(found.refused)
    for name, kind in KINDS.items():
        if name in found.plans:
            kind().check(posed)
            assert found.exact_for[name] == kind.exact_for
            plan = found.plans[name]
            assert plan.num_samples == -(-3 // kind().num_chains) * kind().num_chains
        else:
            with pytest.raises(PosteriorError):
                kind().check(posed)


def test_those_that_converge_come_first_and_the_quickest_of_them() -> None:
    found = recommend(mixture_problem(), 4)
    biased = [found.exact_for[name].startswith("nothing") for name in found.plans]
    seconds, first = [plan.seconds for plan in found.plans.values()], biased.index(True)
    assert biased == sorted(biased) and {"TemperedSMC", "KineticLangevin"} <= set(list(found.plans)[:first])
    assert seconds[:first] == sorted(seconds[:first]) and seconds[first:] == sorted(seconds[first:])


def test_in_words() -> None:
    found = recommend(mixture_problem(), 4)
    text = str(found)
    for name, plan in found.plans.items():
        assert f"{name}\n  exact for {found.exact_for[name]}\n  {plan.cost}" in text
    assert "not for this problem: HMC takes a GeneratorPrior, not a GaussianMixturePrior" in text
