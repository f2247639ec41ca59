"""The page of a city holds its facts, its stations and its figures, and nothing else is loaded."""

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

from data_prep import synthetic_city
from data_prep.page import page

IMAGE = re.compile(r'<img src="data:image/png;base64,([^"]+)" width="(\d+)" alt="([^"]+)">')


@pytest.fixture(scope="module")
def city():
    return synthetic_city(days=2, grid=(8, 8))


def test_a_page_has_facts_stations_and_figures_with_texts(city):
    text = page(city)
    assert "<dt>quantity</dt><dd>PM2.5 in ug/m3</dd>" in text
    assert "The readings are synthetic" in text
    assert "map of the stations" in text
    for station in city.stations["station"]:
        assert f"<td>{station}</td>" in text
    images = IMAGE.findall(text)
    assert len(images) == 3
    for data, width, alt in images:
        assert imread(BytesIO(b64decode(data))).shape[1] >= int(width)
        assert len(alt.split()) > 5
    assert "time zone of the data" in text


def test_nothing_is_loaded(city):
    text = IMAGE.sub("", page(city))
    assert not re.search(r"(src|href)=|url\(|@import|<script", text)


@pytest.mark.parametrize("times", [slice(0), slice(1), slice(3)])
@pytest.mark.parametrize("stations", [1, 31])
def test_short_cities_and_single_stations_have_a_page(city, times, stations, recwarn):
    few = city.select(np.arange(31) < stations)
    text = page(replace(few, times=few.times[times], values=few.values[times]))
    readings = not np.isnan(few.values[times]).all()
    assert len(IMAGE.findall(text)) == 3 * readings
    assert ("There are no readings" in text) != readings
    assert text.count("<tr>") == 1 + stations
    assert not [warning.message for warning in recwarn]


def test_a_city_without_a_reading_has_no_figures(city):
    text = page(replace(city, values=np.full_like(city.values, np.nan)))
    assert "There are no readings to draw." in text
    assert not IMAGE.search(text)


def test_names_are_escaped(city):
    names = city.stations["station"].replace("ANT_REF_R803", "<b>&{{ 1 }}")
    text = page(replace(city, name="<i>x", stations=city.stations.assign(station=names)))
    assert not re.search("<[bi]>", text)
    assert "<td>&lt;b&gt;&amp;{{ 1 }}</td>" in text
