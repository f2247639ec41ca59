"""Chromium for the tests that look at pages; without it they are skipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="browser tests need .[docs]")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")


@contextmanager
def new_page(width: int, height: int, *, offline: bool = False) -> Iterator[sync_api.Page]:
    """Open an empty page of a size in pixels."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": width, "height": height}, offline=offline)
        browser.close()
