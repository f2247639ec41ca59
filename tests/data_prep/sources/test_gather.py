import numpy as np
import pandas as pd
import pytest

from data_prep import DataError
from data_prep.sources.gather import Gatherer


def table(*rows):
    """Rows of (station, latitude, longitude); the times are 0, 1, ... and the values 10, 11, ..."""
    frame = pd.DataFrame(rows, columns=["station", "latitude", "longitude"])
    numbers = np.arange(len(frame))
    return frame.assign(time=numbers, value=numbers + 10.0)


def gather(*tables, bounds=None):
    gatherer = Gatherer(bounds)
    for rows in tables:
        gatherer.add(rows)
    stations, batches = gatherer.finish()
    readings = [
        (str(stations["station"][number]), int(time), float(value))
        for batch in batches
        for time, number, value in zip(*batch, strict=True)
    ]
    return gatherer, stations, sorted(readings)


def test_a_station_is_where_most_of_its_readings_are():
    here, away = ("a", 51.0, 4.0), ("a", 52.0, 4.0)
    gatherer, stations, readings = gather(table(away, here), table(here, ("b", 50.0, 5.0), here))
    assert stations["station"].to_list() == ["a", "b"]
    assert stations["latitude"].to_list() == [51.0, 50.0]
    assert readings == [("a", 0, 10.0), ("a", 1, 11.0), ("a", 2, 12.0), ("b", 1, 11.0)]
    assert gatherer.moved == ["a"]
    assert gatherer.dropped["moved_station"] == 1


def test_a_place_may_jitter_also_across_the_date_line():
    gatherer, stations, readings = gather(
        table(("a", 0.0, 179.999), ("a", 0.0, 179.999), ("a", 0.001, -179.999))
    )
    assert stations["longitude"].to_list() == [179.999]
    assert len(readings) == 3
    assert gatherer.moved == []


def test_longitudes_may_go_from_0_to_360():
    _, stations, readings = gather(
        table(("w", 51.5, 359.5), ("e", 51.5, 0.25)),
        table(("w", 51.5, -0.5)),
        bounds=(-1, 51, 1, 52),
    )
    assert stations["longitude"].to_list() == [0.25, -0.5]
    assert len(readings) == 3


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("", 51.0, 4.0), "no_station"),
        (("  ", 51.0, 4.0), "no_station"),
        ((None, 51.0, 4.0), "no_station"),
        ((np.nan, 51.0, 4.0), "no_station"),
        (("x", np.nan, 4.0), "no_position"),
        (("x", 51.0, np.nan), "no_position"),
        (("x", 0.0, 0.0), "no_position"),
        (("x", 91.0, 4.0), "impossible_position"),
        (("x", 51.0, 361.0), "impossible_position"),
    ],
)
def test_rows_without_a_place_are_counted(row, reason):
    gatherer, stations, readings = gather(table(row, ("a", 51.0, 4.0)))
    assert stations["station"].to_list() == ["a"]
    assert readings == [("a", 1, 11.0)]
    assert +gatherer.dropped == {reason: 1}


@pytest.mark.parametrize(
    ("bounds", "inside"),
    [
        ((3.0, 50.0, 5.0, 52.0), ["belgium"]),
        ((-10.0, -90.0, 5.0, 90.0), ["belgium", "ghana"]),
        ((170.0, -20.0, -170.0, 0.0), ["fiji", "taveuni"]),
    ],
)
def test_bounds_may_cross_the_date_line(bounds, inside):
    places = table(
        ("belgium", 51.0, 4.0),
        ("ghana", 5.6, -0.2),
        ("fiji", -17.7, 178.1),
        ("taveuni", -16.9, -179.9),
    )
    gatherer, stations, _ = gather(places, bounds=bounds)
    assert stations["station"].to_list() == inside
    assert gatherer.dropped["outside_bounds"] == 4 - len(inside)


@pytest.mark.parametrize(
    "bounds",
    [
        (3.0, 52.0, 5.0, 50.0),
        (0.0, -91.0, 1.0, 1.0),
        (200.0, 0.0, 210.0, 1.0),
        (float("nan"), 0.0, 1.0, 1.0),
        (1.0, 2.0, 3.0),
        (None, 0.0, 1.0, 1.0),
        5,
        {1.0, 2.0, 3.0, 4.0},
    ],
)
def test_wrong_bounds_are_refused(bounds):
    with pytest.raises(DataError, match="west, south, east, north in degrees, got"):
        Gatherer(bounds)


def test_names_are_trimmed_and_facts_of_stations_are_kept():
    rows = table(("a ", 51.0, 4.0), ("a", 51.0, 4.0)).assign(kind=["road", "road"])
    gatherer, stations, readings = gather(rows)
    assert stations.to_dict("records") == [
        {"station": "a", "latitude": 51.0, "longitude": 4.0, "kind": "road"}
    ]
    assert len(readings) == 2
    assert gatherer.trimmed == {"a "}


def test_nothing_gives_no_station():
    _, stations, readings = gather(table())
    assert stations.empty
    assert readings == []


def test_a_name_that_is_missing_is_not_one_that_was_trimmed():
    gatherer, _, _ = gather(table(("a ", 51.0, 4.0), (None, 51.0, 4.0)))
    assert gatherer.trimmed == {"a "}
