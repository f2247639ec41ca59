"""A reader opens the case study in JupyterLab, runs it, and moves the slider."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from chromium import needs_chromium, new_page

NOTEBOOK = Path(__file__).parents[2] / "tutorials" / "04_station_621.ipynb"
PLUGIN = Path("@jupyterlab", "notebook-extension", "tracker.jupyterlab-settings")
SETTINGS = {"windowingMode": "none"}  # cells outside the window are part of the page as well
PICTURE = ".jupyter-widgets img"

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
]


@pytest.fixture
def address(tmp_path):
    """Start JupyterLab with a copy of the notebook that trains for a few steps."""
    source = NOTEBOOK.read_text(encoding="utf-8")
    quick = re.sub(r"STEPS = \d+", "STEPS = 5", source)
    assert quick != source
    root = tmp_path / "tutorials"
    root.mkdir()
    (root / NOTEBOOK.name).write_text(quick, encoding="utf-8")
    settings = tmp_path / "settings" / PLUGIN
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(SETTINGS), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.root_dir": root,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": "reader",
    }
    environment = {
        **{name: value for name, value in os.environ.items() if name != "TRITONBN_CITY"},
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "OMP_NUM_THREADS": "1",
    }
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *(f"--{k}={v}" for k, v in options.items())],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}/lab/tree/{NOTEBOOK.name}?token=reader"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(address, timeout=10).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def run_all_cells(page):
    """Run all cells, again if JupyterLab drops the request because the kernel is just starting."""
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").first
    for _ in range(10):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_timeout(3000)
        if prompt.inner_text() != "[ ]:":
            return
    pytest.fail("JupyterLab did not run the first cell")


def test_the_slider_changes_the_picture(address):
    wait_for(address)
    with new_page(1200, 1500) as page:
        page.set_default_timeout(180_000)
        page.goto(address)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        run_all_cells(page)
        picture = page.locator(PICTURE)
        picture.wait_for()
        before = picture.get_attribute("src")
        handle = page.locator(".jupyter-widgets .noUi-handle")
        handle.focus()
        handle.press("ArrowRight")
        page.wait_for_function(
            "([selector, before]) => (document.querySelector(selector) || {}).src !== before",
            arg=[PICTURE, before],
        )
        picture.wait_for()
        assert picture.get_attribute("src") != before
        assert page.locator(".jp-OutputArea-output[data-mime-type*=error]").count() == 0
        if folder := os.environ.get("TRITONBN_SCREENSHOTS"):
            picture.scroll_into_view_if_needed()
            page.screenshot(path=str(Path(folder, "slider.png")))
