"""An environment without the developer's own settings."""

import os

import pytest


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every `COUNTERMAND_*` variable away for one test."""
    for name in list(os.environ):
        if name.startswith("COUNTERMAND_"):
            monkeypatch.delenv(name)
