"""Lists of what is registered, for the command line's help."""

from __future__ import annotations

from typing import Any

from posterior.app.registry import DATA, LIKELIHOODS, OPERATORS, PRIORS, REGISTERED, SHIPPED
from posterior.app.specification import usage
from posterior.priors.base import Prior
from posterior.priors.flows import FlowPrior
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior

_KINDS = {ScorePrior: "score priors", GeneratorPrior: "generators and flows", FlowPrior: "flows", Prior: "any prior"}


def methods(kind: str) -> str:
    """The samplers, the solvers or both, with the kinds of prior that they take.

    Args:
        kind: A key of `posterior.app.registry.REGISTERED` that holds samplers or solvers.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(REGISTERED[kind], key=str.lower):
        factory: Any = REGISTERED[kind][name]
        method = getattr(factory, "__self__", factory)  # the class of a class method
        groups.setdefault(", ".join(_KINDS.get(prior, prior.__name__) for prior in method.priors), []).append(name)
    lines = [f"  {', '.join(names)} ({priors})" for priors, names in groups.items()]
    return "\n".join([f"{kind}s, and the priors that they take:", *lines])


def operators() -> str:
    """The operators with their arguments."""
    lines = [f"  {usage('operator', name, 'event_shape')}" for name in sorted(OPERATORS, key=str.lower)]
    return "\n".join(["operators, with optional arguments in brackets; a FILE is an npy array:", *lines])


def likelihoods() -> str:
    """The short names of likelihoods with their arguments."""
    lines = [f"  {usage('likelihood', name, 'operator')}" for name in LIKELIHOODS if name.islower()]
    return "\n".join(["likelihoods:", *lines])


def priors() -> str:
    """The shipped priors, and those that are made of arrays."""
    lines = [f"  {usage('prior', name)}" for name in PRIORS if name not in SHIPPED]
    return "\n".join([f"shipped priors:\n  {', '.join(SHIPPED)}", "others, with their arguments:", *lines])


def data() -> str:
    """The kinds of data with their arguments."""
    return "\n".join(["data:", *(f"  {usage('data', name, 'event_shape')}" for name in DATA)])


# What an option of some name takes, below the help of every command that has such an option.
CHOICES = {
    "prior": priors(),
    "data": data(),
    "sampler": methods("sampler"),
    "solver": methods("solver"),
    "methods": methods("method"),
    "operator": operators(),
    "operators": operators(),
    "likelihood": likelihoods(),
}
