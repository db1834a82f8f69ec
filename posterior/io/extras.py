"""Packages that come with an extra, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from posterior.errors import IncompatibleError


def require(module: str, extra: str) -> Any:
    """A module of a package that is installed with an extra of this library.

    Args:
        module: Its name, such as "h5py".
        extra: The extra that brings it, such as "mri".

    Raises:
        IncompatibleError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise IncompatibleError(
            f"this needs the package {package}: pip install {package}, or the extra `{extra}` of "
            f"posterior, which has it: pip install -e '.[{extra}]' in its clone"
        ) from error
