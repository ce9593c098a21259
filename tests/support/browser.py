"""Debian's Chromium, driven by Playwright, which downloads no browser of its own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; ended with the block."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("Chromium is missing: apt-get install chromium", pytrace=False)
    # Its sandbox refuses to run as root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield browser
        finally:
            browser.close()
