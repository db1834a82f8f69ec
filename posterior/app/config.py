"""The config of a job: one YAML file that names prior, operator, likelihood, data, methods, seed and outputs.

Names of parts are those of `posterior.app.registry` and nothing else is built; no tag, and no path to a class, means
anything here.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import yaml

from posterior.app.bounded_yaml import load_yaml
from posterior.app.datasets import Data
from posterior.app.grouping import Grouping
from posterior.app.specification import Spec, as_mapping, build, construct
from posterior.checks import Count, check_fields
from posterior.errors import FileFormatError, InvalidValueError, PosteriorError, did_you_mean
from posterior.fairness import load_classifier
from posterior.likelihoods import Likelihood
from posterior.operators import Operator
from posterior.priors.base import Prior
from samplers import Sampler, Solver

_PLACE = re.compile("[0-9]{1,9}")  # in a list
_CODE = re.compile(r"(?P<path>.+\.py):(?P<function>\w+)")


@dataclass(frozen=True)
class Config:
    """What a job does.

    Prior, operator, likelihood, data and methods are specifications: text, as in `half:keep=top`, or a mapping
    {name: half, keep: top}.

    Attributes:
        prior, operator, likelihood: The model.
        data: Measurements, or images whose measurements are simulated.
        methods: Samplers and solvers, all of which answer.
        num_samples: Samples of each measurement.
        seed: Seed of simulated data and of all methods.
        out: Folder for the results.
        keep_samples: Whether to keep all samples, beside their mean, standard deviation and quantiles.
        shard_size: Measurements that are answered, and kept, at a time.
        batch_size: Images in one network call at the most.
        classifier: Name or folder of a classifier, which says who is in a reconstruction.
        groups: Name of a group → the labels of the data, or classes of the classifier, that it holds; those left are
            "others". Each is a group unless given.

    Raises:
        InvalidValueError: A value is of another type or out of range.
    """

    prior: Spec
    operator: Spec
    likelihood: Spec
    data: Spec
    methods: Sequence[Spec]
    num_samples: Count = 64
    seed: int = 0
    out: Path = Path("results/run")
    keep_samples: bool = False
    shard_size: Count = 8
    batch_size: Count | None = None
    classifier: str | None = None
    groups: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.methods:
            raise InvalidValueError("methods name no sampler and no solver")

    def settings(self) -> dict[str, Any]:
        """All values, as YAML has them."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        groups = None if self.groups is None else {name: list(members) for name, members in self.groups.items()}
        return found | {"methods": list(self.methods), "out": str(self.out), "groups": groups}

    def __str__(self) -> str:
        return yaml.safe_dump(self.settings(), sort_keys=False)


@dataclass(frozen=True)
class Parts:
    """What a config names, built.

    Attributes:
        prior, likelihood, data: The model, with the operator in the likelihood, and what is to be answered.
        methods: Samplers and solvers by what tables call them.
        grouping: Who is in the images, where that is known.
    """

    prior: Prior
    likelihood: Likelihood[Any]
    data: Data
    methods: dict[str, Sampler | Solver]
    grouping: Grouping | None


def load_config(path: Path, changes: Mapping[str, Any] | None = None) -> Config:
    """Read a config; what a file says of `out` has to lie in the working folder, what `changes` say may lie anywhere.

    Args:
        path: A YAML file.
        changes: Values that take the place of the file's, by key; `operator.keep` is a key within a part, and
            `methods.0.population` one within the first method.

    Raises:
        FileFormatError: There is no such file, or it is not YAML.
        InvalidValueError: Keys that there are not, values of another type, or that are missing.
    """
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} is not a config: {error}") from error
    if not isinstance(values, dict):
        raise FileFormatError(f"{path} is not a config: it holds no keys and values")
    changes, out = changes or {}, values.get("out", "")
    if "out" not in changes and not (isinstance(out, str) and Path(out).resolve().is_relative_to(Path.cwd())):
        raise InvalidValueError(
            f"{path} would write to {out!r}, which is not a folder within this one; if you want that, say it by --out"
        )
    for key, value in changes.items():
        _change(values, key, value)
    try:
        config: Config = construct(Config, values, {})
    except InvalidValueError as error:
        raise InvalidValueError(f"{path}: {error}") from error
    return config


def build_parts(config: Config, *, allow_code: bool = False, device: torch.device | str = "cpu") -> Parts:
    """Build what a config names.

    Args:
        config: The names.
        allow_code: Whether the operator may be a function of a file of the user's, as in file.py:make_operator, which
            is run and gets the shape of an image.
        device: Where to put prior and likelihood.

    Raises:
        PosteriorError: A name or a setting that there is not, or parts that do not fit.
    """
    methods = [build("method", spec) for spec in config.methods]  # the quickest first
    names = [method.name for method in methods]
    called = [name if names.count(name) == 1 else f"{name}-{place + 1}" for place, name in enumerate(names)]
    prior = build_prior(config.prior, device)
    operator = _operator(config.operator, prior.event_shape, allow_code)
    likelihood = build("likelihood", config.likelihood, operator=operator).to(device)
    data = build("data", config.data, event_shape=prior.event_shape)
    grouping = _grouping(config, data, device)
    return Parts(prior, likelihood, data, dict(zip(called, methods, strict=True)), grouping)


def build_prior(spec: Spec, device: torch.device | str, class_label: int | Sequence[int] | None = None) -> Prior:
    """The prior that a specification, or a folder, names.

    Args:
        spec: A registered name with its settings, or a folder.
        device: Where to put it.
        class_label: Class of the images, of a class-conditional prior.
    """
    if class_label is not None:
        spec = as_mapping(spec) | {"class_label": class_label}
    prior: Prior = build("prior", spec, device=device)
    return prior.to(device)


def code_file(operator: Spec) -> Path | None:
    """The file with the user's code that an operator is specified by, None where it is a registered one."""
    found = _CODE.fullmatch(operator) if isinstance(operator, str) else None
    return None if found is None else Path(found["path"])


def _grouping(config: Config, data: Data, device: torch.device | str) -> Grouping | None:
    if config.classifier is None and config.groups is None and data.labels is None:
        return None
    if data.labels is None and not data.knows_truths:
        raise InvalidValueError("groups are of true images, which these data do not have: give them labels")
    classifier = None if config.classifier is None else load_classifier(config.classifier, device=device)
    return Grouping(data.labels, classifier, config.groups)


def _operator(spec: Spec, event_shape: Sequence[int], allow_code: bool) -> Operator:
    path = code_file(spec)
    if path is None:
        operator: Operator = build("operator", spec, event_shape=event_shape)
        return operator
    if not allow_code:
        raise InvalidValueError(
            f"operator {spec!r} is code, which runs with all your rights; if you have read it, say --allow_code"
        )
    made = _function(path, str(spec).rpartition(":")[2])(tuple(event_shape))
    if not isinstance(made, Operator):
        raise InvalidValueError(f"{spec} gave a {type(made).__name__}; Operator.from_callable makes an operator of it")
    return made


def _function(path: Path, name: str) -> Any:
    """A function of a file that the user allowed to be run."""
    spec = importlib.util.spec_from_file_location(f"{path.stem} of {path.resolve()}", path)  # like no other's name
    if spec is None or spec.loader is None or not path.is_file():
        raise FileFormatError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up what their annotations name
    try:
        spec.loader.exec_module(module)
    except PosteriorError:
        raise
    except Exception as error:
        raise FileFormatError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    if not callable(function := getattr(module, name, None)):
        known = [key for key, value in vars(module).items() if callable(value)]
        raise FileFormatError(f"{path} has no function {name!r}{did_you_mean(name, known)}")
    return function


def _change(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a value in the place of another, within parts and lists of parts."""
    where: Any = values
    *path, last = [int(part) if _PLACE.fullmatch(part) else part for part in key.split(".")]
    for place, part in enumerate(path):
        try:
            if isinstance(where[part], str):
                where[part] = as_mapping(where[part])
            where = where[part]
        except (KeyError, IndexError, TypeError) as error:
            raise InvalidValueError(
                f"there is no {'.'.join(map(str, path[: place + 1]))} in the config to set {key} in"
            ) from error
    try:
        where[last] = value
    except (IndexError, TypeError) as error:
        raise InvalidValueError(f"there is no {key} in the config") from error
