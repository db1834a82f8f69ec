"""Fixtures of the tests of commands."""

import pytest


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of `sample` and `solve` take longer than all else, and are not what is tested."""
    monkeypatch.setattr("posterior.app.commands.answer.draw", lambda out, *others: [out / "none"])
