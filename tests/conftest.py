"""Settings of every test."""

from hypothesis import settings

from tests.browser import browser, console, page  # noqa: F401

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
