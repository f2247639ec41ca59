"""The HTML map holds the fields, the readings and all that it needs to be shown."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from data_prep import DataError
from tritonbn.experiment import extras
from tritonbn.experiment.figures.html_map import html_map

TIMES = np.array([250, 260])


@pytest.fixture(scope="module")
def fields(city):
    return np.linspace(1, 60, 60, dtype=np.float32).reshape(2, *city.grid)


@pytest.fixture(scope="module")
def page(city, fields):
    estimates = city.values[TIMES] + 1
    return html_map(city, TIMES, fields, estimates, np.arange(6) == 5, "Fields of Testville")


def features(page, kind):
    """Return the features of each GeoJSON collection with a kind of geometry."""
    collections = map(json.loads, re.findall(r"_add\((\{.*\})\);", page))
    found = [each["features"] for each in collections if each["type"] == "FeatureCollection"]
    return [each for each in found if each[0]["geometry"]["type"] == kind]


def test_nothing_is_loaded(page):
    assert not re.search(r"<(script|img|iframe|link)[^>]*\s(src|href)=", page)
    assert "@import" not in page
    assert "Leaflet 1.9.3, a JS library for interactive maps" in page


def test_each_time_has_its_values_and_its_name(page, city, fields):
    cells = features(page, "Polygon")
    for field, collection in zip(fields, cells, strict=True):
        shown = [feature["properties"]["field"] for feature in collection]
        assert shown == [f"{value:.1f} µg/m³" for value in field.flat]
    (south_west, *_), north_east = cells[0][0]["geometry"]["coordinates"][0], cells[0][-1]
    assert south_west == pytest.approx([4.4 - 0.005, 51.2 - 0.005], abs=0.0051)
    top, right = north_east["geometry"]["coordinates"][0][2][::-1]
    assert (top > city.stations["latitude"]).all()
    assert (right > city.stations["longitude"]).all()
    assert '["2023-01-11 10:00"]' in page
    assert '["2023-01-11 20:00"]' in page


def test_stations_have_a_name_an_estimate_and_a_reading(page, city):
    for time, collection in zip(TIMES, features(page, "Point"), strict=True):
        for row, feature in enumerate(collection):
            reading, shown = city.values[time, row], feature["properties"]
            assert shown["station"] == f"S{row} (cell {city.cells[row]})"
            assert shown["time"] == f"2023-01-11 {10 if time == 250 else 20}:00"
            there = not np.isnan(reading)
            assert shown["measured"] == (f"{reading:.1f} µg/m³" if there else "none")
            assert shown["estimated"] == (f"{reading + 1:.1f} µg/m³" if there else "none")
            held_out = row == 5
            assert ("fillColor" in shown["style"]) != held_out, "its reading decides no colour"
            place = city.stations.iloc[row]
            assert feature["geometry"]["coordinates"] == [place["longitude"], place["latitude"]]


def test_names_cannot_break_the_page(city, fields):
    names = city.stations["station"].replace("S0", "</script><b>{{ 1 + 1 }}`${2}")
    odd = replace(city, name="<i>{% x", stations=city.stations.assign(station=names))
    page = html_map(odd, TIMES, fields, city.values[TIMES], np.zeros(6, bool), odd.name)
    assert "&lt;i&gt;&#123;% x" in page
    assert "<i>" not in page
    station = features(page, "Point")[0][0]["properties"]["station"]
    assert station.startswith("&lt;/script&gt;&lt;b&gt;&#123;&#123; 1 + 1 }}`$&#123;2}")


def test_without_folium_the_error_names_the_extra(city, fields, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(
        DataError, match=r"needs folium, xstatic.pkg.leaflet: pip install 'tritonbn\[maps\]'"
    ):
        html_map(city, TIMES, fields, city.values[TIMES], np.zeros(6, bool), "t")


def test_a_part_of_a_package_that_is_not_installed_is_named():
    with pytest.raises(DataError, match=r"the map needs no_such_package\.part: pip install"):
        extras.require_maps("the map", "xstatic.pkg.leaflet", "no_such_package.part")


def test_readings_below_zero_have_colours_of_their_own(city, fields):
    cold = replace(city, values=-city.values, quantity="temperature", unit="°C")
    page = html_map(cold, TIMES, -fields, cold.values[TIMES], np.zeros(6, bool), "t")
    colors = {cell["properties"]["style"]["fillColor"] for cell in features(page, "Polygon")[0]}
    assert len(colors) > 10
    numbers = page.split('class="numbers">')[1].split("</div>")[0]
    ticks = [float(text.split("<")[0]) for text in numbers.split('%">')[1:]]
    assert ticks[0] < 0
    assert ticks[-1] == 0
