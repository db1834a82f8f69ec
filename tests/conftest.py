"""Settings of every test."""

import torch
from hypothesis import settings

from tests.browser import browser, console, page  # noqa: F401

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
torch.set_warn_always(True)  # else a warning fails the first test that meets it, and none after
