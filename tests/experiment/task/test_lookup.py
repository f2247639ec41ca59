import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from data_prep.city import CityData, DataError
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.lookup import (
    find_station,
    find_time,
    require_reading,
    typical_time,
)

MakeCity = Callable[..., CityData]


def test_a_station_is_found_by_name_and_by_cell(city: CityData) -> None:
    for row, station in city.stations.iterrows():
        assert find_station(city, station["station"]) == row
        assert find_station(city, str(station["cell"])) == row
        assert find_station(city, int(station["cell"])) == row


def test_an_integer_is_a_cell_even_if_it_is_the_name_of_another_station(city: CityData) -> None:
    cell = int(city.cells[1])
    names = [str(cell), *city.stations["station"][1:]]
    city = replace(city, stations=city.stations.assign(station=names))
    assert find_station(city, cell) == find_station(city, np.int64(cell)) == 1
    assert find_station(city, str(cell)) == 0


def test_an_unknown_station_is_answered_with_those_that_exist(city: CityData) -> None:
    with pytest.raises(DataError, match="Testville has no station S99") as caught:
        find_station(city, "S99")
    for station in city.stations.itertuples():
        assert f"{station.cell} {station.station}" in str(caught.value)


def test_the_default_station_stands_in_cell_621(make_city: MakeCity) -> None:
    city = make_city(grid=(32, 32))
    stations = city.stations.assign(cell=[*range(620, 626)])
    assert find_station(replace(city, stations=stations)) == 1


def test_where_no_station_stands_in_cell_621_the_one_with_most_readings_is_shown(
    city: CityData,
) -> None:
    values = city.values.copy()
    values[:, 3] = 20.0
    assert find_station(replace(city, values=values)) == 3


def test_a_time_is_found_in_iso_8601(make_city: MakeCity) -> None:
    city = make_city(missing=0)
    assert find_time(city, "2023-01-02T05:00") == 29
    assert find_time(city, "2023-01-02") == 24


@pytest.mark.parametrize(
    ("wanted", "nearest"), [("2023-01-02T05:40", "2023-01-02T06"), ("2031-01-01", "2023-01-13T11")]
)
def test_a_time_that_the_city_lacks_is_answered_with_the_nearest(
    city: CityData, wanted: str, nearest: str
) -> None:
    message = (
        f"no time {wanted}; its times are from 2023-01-01T00:00:00 to 2023-01-13T11:00:00, every "
        f"60 min; the nearest is {nearest}:00:00"
    )
    with pytest.raises(DataError, match=message):
        find_time(city, wanted)


@pytest.mark.parametrize("wanted", ["yesterday", ""])
def test_a_text_that_is_no_time_is_an_error(city: CityData, wanted: str) -> None:
    with pytest.raises(DataError, match=f"'{wanted}' is not a time; expected ISO 8601, such as 20"):
        find_time(city, wanted)


def test_a_time_without_a_reading_of_the_station_is_an_error(city: CityData) -> None:
    missing = int(np.flatnonzero(~city.observed[:, 4])[0])
    with pytest.raises(
        DataError, match=f"station S4 of Testville has no reading at {city.times[missing]}"
    ):
        require_reading(city, missing, 4)


def test_the_typical_time_is_a_median_reading_of_the_test_part(make_city: MakeCity) -> None:
    city = make_city(times=300)
    time = typical_time(Fold(city, "masked"), 2)
    assert time >= 264
    complete = [t for t in range(264, 300) if city.observed[t].all()]
    readings = sorted(city.values[t, 2] for t in complete)
    assert time in complete
    assert city.values[time, 2] == readings[(len(readings) - 1) // 2]


def test_a_station_without_a_test_reading_cannot_be_shown(city: CityData) -> None:
    values = city.values.copy()
    values[240:, 2] = np.nan
    with pytest.raises(DataError, match="station S2 has no reading in the test part"):
        typical_time(Fold(replace(city, values=values), "masked"), 2)


@pytest.mark.parametrize("wanted", ["2023-01-02T01:00Z", "2031-01-01T13:00+02:00"])
def test_a_time_with_an_offset_is_refused(city: CityData, wanted: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"without a UTC offset; got {wanted}")):
        find_time(city, wanted)
