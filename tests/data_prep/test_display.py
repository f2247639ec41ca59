import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from data_prep import CityData
from data_prep.grid import cells_of


def make_city(stations=12, times=3, **facts):
    latitude, longitude = 51 + np.arange(stations) / 100, 4 + np.arange(stations) % 5 / 100
    values = np.ones((times, stations), np.float32)
    values[:1, : stations // 2] = np.nan
    table = pd.DataFrame(
        {
            "station": [f"s{k}" for k in range(stations)],
            "latitude": latitude,
            "longitude": longitude,
            "cell": cells_of(latitude, longitude, (8, 9)),
        }
    )
    hours = np.datetime64("2024-01-01T00:00:00") + np.arange(times) * np.timedelta64(3600, "s")
    return CityData("Kleinstadt", hours, table, values, (8, 9), **facts)


def parse(city):
    """Return the HTML as a tree; it is well-formed XML, too."""
    return ElementTree.fromstring(city._repr_html_())


def texts(tree, tag):
    return ["".join(element.itertext()) for element in tree.iter(tag)]


def test_a_city_is_one_line():
    assert repr(make_city()) == (
        "<CityData Kleinstadt: 12 stations, 3 times, 2024-01-01 00:00 to 2024-01-01 02:00, "
        "step 60 min, grid 8x9, 16.7% missing>"
    )
    assert repr(make_city(synthetic=True)).endswith("16.7% missing, synthetic readings>")


@pytest.mark.parametrize("times", [0, 1])
def test_a_city_without_a_step_has_a_line_and_html(times):
    city = make_city(times=times)
    assert f"12 stations, {times} times" in repr(city)
    assert "step" not in repr(city)
    assert "Kleinstadt" in city._repr_html_()


def test_a_notebook_shows_facts_ten_stations_and_how_many_there_are_more():
    tree = parse(make_city(synthetic=True))
    facts = dict(zip(texts(tree[0], "th"), texts(tree[0], "td"), strict=True))
    assert facts == {
        "city": "Kleinstadt",
        "quantity": "PM2.5 in ug/m3",
        "readings": "synthetic",
        "stations": "12",
        "times": "3",
        "span": "2024-01-01 00:00 to 2024-01-01 02:00",
        "step": "60 min",
        "grid": "8x9",
        "missing": "16.7%",
    }
    rows = [texts(row, "td") for row in tree[2].iter("tr")][1:]
    assert rows[0] == ["s0", "0", "51.0000", "4.0000", "33.3%"]
    assert [row[0] for row in rows] == [*(f"s{k}" for k in range(10)), "... 2 more"]
    assert "more" not in make_city(stations=10)._repr_html_()


def test_the_map_has_a_labelled_point_for_every_station_with_north_at_the_top():
    city = make_city()
    svg = parse(city)[1]
    assert "map of the stations" in svg.get("aria-label")
    assert texts(svg, "title") == city.stations["station"].to_list()
    points = np.array([[float(c.get("cx")), float(c.get("cy"))] for c in svg.iter("circle")])
    (x, y), places = points.T, city.stations
    assert np.corrcoef(x, places["longitude"])[0, 1] == pytest.approx(1, abs=1e-3)
    assert np.corrcoef(y, places["latitude"])[0, 1] == pytest.approx(-1, abs=1e-3)
    # A degree of longitude is shorter than one of latitude, by the cosine of the latitude.
    ratio = (np.ptp(x) / np.ptp(places["longitude"])) / (np.ptp(y) / np.ptp(places["latitude"]))
    assert ratio == pytest.approx(np.cos(np.radians(51.055)), rel=1e-2)
    left, top, width, height = map(float, svg.get("viewBox").split())
    assert ((x > left + 4) & (x < left + width - 4)).all()
    assert ((y > top + 4) & (y < top + height - 4)).all()


def test_one_station_has_a_map():
    assert len([*parse(make_city(stations=1))[1].iter("circle")]) == 1


def test_names_are_escaped():
    city = make_city()
    names = city.stations["station"].replace("s0", "<b>&</b>")
    city = replace(city, name="<i>x", stations=city.stations.assign(station=names))
    assert not re.search("<[bi]>", city._repr_html_())
    assert texts(parse(city)[1], "title")[0] == "<b>&</b>"
