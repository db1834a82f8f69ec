"""A plugin of pytest that ends tests which do not end by themselves, and a run that has gone on for long enough."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from types import FrameType

import pytest

ONE = 20.0  # seconds of a processor that a test may take, whatever else runs: all that are right take less
ALL = 60.0  # that a mutant's tests may take: those that are left then are not run


class EndlessError(Exception):
    """A test that goes on and on."""


def interrupt(number: int, frame: FrameType | None) -> None:
    raise EndlessError(f"{ONE:g} seconds")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, ONE)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def pytest_runtest_logfinish() -> None:
    if time.process_time() > ALL:
        pytest.exit("enough", returncode=os.EX_OK)
