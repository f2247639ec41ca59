"""HTML pages open from a file without a network."""

import os
from pathlib import Path

import numpy as np
import pytest
from chromium import needs_chromium, new_page, sync_api

from data_prep.page import page as city_page
from tritonbn.experiment.figures.html_map import html_map
from tritonbn.experiment.figures.map import HIDDEN_COLOR

pytestmark = needs_chromium

STATIONS = "path.leaflet-interactive[stroke='white']"
HELD_OUT = f"path.leaflet-interactive[stroke='{HIDDEN_COLOR}']"


@pytest.fixture
def opened():
    """Return a function that opens a file without a network, and what the page asked for."""
    with new_page(1200, 800, offline=True) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: pytest.fail(str(error)))

        def open_(path):
            page.goto(path.as_uri())
            return page, asked

        yield open_


def tooltip(page):
    """Return the text under the pointer, once that of the last place has vanished."""
    hovered = page.locator(".foliumtooltip")
    sync_api.expect(hovered).to_have_count(1)
    return hovered.inner_text()


def screenshot(page, name):
    if folder := os.environ.get("TRITONBN_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder, name)), full_page=True)


def test_the_map_shows_values_under_the_pointer_and_other_times(opened, synthetic, tmp_path):
    times = np.array([600, 1200])
    fields = np.stack([np.full(synthetic.grid, 7.0), np.full(synthetic.grid, 9.0)])
    estimates = np.full((2, 31), 12.34, np.float32)
    north = synthetic.stations["station"] == "ANT_REF_M802"
    path = tmp_path / "field.html"
    path.write_text(
        html_map(
            synthetic, times, fields.astype(np.float32), estimates, north.to_numpy(), "Fields"
        ),
        encoding="utf-8",
    )
    page, asked = opened(path)
    assert page.title() == "Fields"
    row = int(np.flatnonzero(synthetic.observed[times].all(axis=0))[0])
    for time, when in zip(times, ("2020-07-06 10:00", "2020-07-06 20:00"), strict=True):
        page.get_by_label(when).check()
        page.locator(STATIONS).nth(row).hover()
        shown = tooltip(page)
        assert synthetic.stations["station"].iloc[row] in shown
        assert when in shown
        assert "12.3 µg/m³" in shown
        assert f"{synthetic.values[time, row]:.1f} µg/m³" in shown
        screenshot(page, f"map-{time}.png")
    page.locator(HELD_OUT).hover()
    assert "ANT_REF_M802" in tooltip(page)
    assert page.locator(".cell").count() == 16 * 16
    page.locator(".cell").nth(0).hover()
    assert tooltip(page).split() == ["2020-07-06", "20:00", "9.0", "µg/m³"]
    assert asked == [path.as_uri()]


def test_the_page_of_a_city_shows_its_figures_also_on_a_phone(opened, synthetic, tmp_path):
    path = tmp_path / "city.html"
    path.write_text(city_page(synthetic), encoding="utf-8")
    page, asked = opened(path)
    widths = page.locator("img").evaluate_all("images => images.map(each => each.naturalWidth)")
    assert len(widths) == 3
    assert all(widths)
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    screenshot(page, "city.png")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    screenshot(page, "city-phone.png")
