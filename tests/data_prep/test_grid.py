import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.city import DataError
from data_prep.grid import cells_of, checked_grid, parse_grid, shared_cells, unwrap_longitude
from data_prep.senseurcity.sites import antwerp_sites


@pytest.fixture
def stations():
    return antwerp_sites().rename(columns={"site": "station"})


def test_antwerp_station_621_is_park_spoor_noord(stations):
    cells = cells_of(stations["latitude"], stations["longitude"])
    assert stations["station"][cells.tolist().index(621)] == "ANT_REF_R803"
    assert cells.dtype == np.int64


# The numbers that can be read in the published picture of the case study.
PUBLISHED_CELLS = [
    *(10, 130, 142, 167, 204, 209, 292, 308, 329, 337, 358, 363, 366, 420, 423, 425, 456, 520),
    *(522, 527, 544, 554, 559, 560, 621, 672, 744, 895, 1004),
]


def test_antwerp_stands_in_the_cells_of_the_published_picture(stations):
    cells = cells_of(stations["latitude"], stations["longitude"]).tolist()
    assert len(PUBLISHED_CELLS) == 29
    assert sorted(cells) == sorted([*PUBLISHED_CELLS, 141, 334])  # two that other labels cover


def test_antwerp_31_stations_stand_in_31_cells_and_only_r802_moved(stations):
    assert shared_cells(stations) == [["ANT_REF_R801", "ANT_REF_R802"]]
    cells = pd.Series(cells_of(stations["latitude"], stations["longitude"]), stations["station"])
    assert cells.nunique() == 31
    lat, lon = stations["latitude"], stations["longitude"]
    by_rule = [
        int(31 * (a - lat.min()) / (lat.max() - lat.min())) * 32
        + int(31 * (b - lon.min()) / (lon.max() - lon.min()))
        for a, b in zip(lat, lon, strict=True)
    ]
    assert cells.index[cells != by_rule].tolist() == ["ANT_REF_R802"]
    row, column = divmod(int(cells["ANT_REF_R801"]), 32)
    moved_row, moved_column = divmod(int(cells["ANT_REF_R802"]), 32)
    assert (moved_row - row) ** 2 + (moved_column - column) ** 2 == 1


def test_rows_count_from_the_south_and_columns_from_the_west():
    south_west, south_east, north_west, north_east = cells_of(
        [50, 50, 51, 51], [4, 5, 4, 5], (3, 4)
    )
    assert (south_west, south_east, north_west, north_east) == (0, 3, 8, 11)


def test_later_station_moves_to_the_nearest_free_cell_and_ties_go_to_the_lower_number():
    # Rows 0..4, columns 0..4; four stations in the middle cell 12, two that span the grid.
    latitude = [0, 4, 2, 2, 2, 2]
    cells = cells_of(latitude, latitude, (5, 5))
    assert cells.tolist() == [0, 24, 12, 7, 11, 13]


def test_a_moved_station_never_takes_the_cell_of_one_that_is_later_in_the_table():
    # Both 2s fall into cell 12; its lowest neighbour, 7, belongs to the last station.
    cells = cells_of([0, 4, 2, 2, 1], [0, 4, 2, 2, 2], (5, 5))
    assert cells.tolist() == [0, 24, 12, 11, 7]


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        ([51.2], [4.4], [0]),
        ([51.2, 51.2, 51.2], [4.0, 4.5, 5.0], [0, 1, 3]),
        ([51.0, 51.5, 52.0], [4.4, 4.4, 4.4], [0, 4, 12]),
    ],
)
def test_one_station_or_a_line_of_stations(latitude, longitude, expected):
    assert cells_of(latitude, longitude, (4, 4)).tolist() == expected


def test_a_full_grid_is_filled_and_one_more_station_is_an_error():
    assert sorted(cells_of([51.2] * 6, [4.4] * 6, (2, 3))) == list(range(6))
    with pytest.raises(DataError, match=r"7 stations do not fit into a grid of \(2, 3\)"):
        cells_of([51.2] * 7, [4.4] * 7, (2, 3))


@pytest.mark.parametrize("latitude", [[], [51.2, np.nan]])
def test_no_station_or_no_number_is_an_error(latitude):
    with pytest.raises(DataError, match="latitude must be one finite number per station"):
        cells_of(latitude, [4.4] * len(latitude))


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(-80, 80), st.floats(-180, 180)), min_size=1, max_size=20),
    st.tuples(st.integers(4, 8), st.integers(5, 8)),
)
def test_cells_are_distinct_and_in_the_grid(positions, grid):
    latitude, longitude = zip(*positions, strict=True)
    cells = cells_of(latitude, longitude, grid)
    assert len(set(cells)) == len(positions)
    assert all(0 <= cell < grid[0] * grid[1] for cell in cells)


def test_a_grid_is_height_x_width():
    assert parse_grid("32x24") == (32, 24)
    assert parse_grid("2x2") == (2, 2)


@pytest.mark.parametrize(
    "text", ["", "32", "x", "32x", "0x4", "1x4", "4x1", "-4x4", "4x4x4", " 4x4", "²x4"]
)
def test_anything_else_is_one_clear_error(text):
    with pytest.raises(ValueError, match=f"at least 2x2 .* such as 32x32, got '{text}'"):
        parse_grid(text)


@pytest.mark.parametrize("grid", [8, "8x8", None, (0, 5), (4.0, 4.0), (True, 4), (4, 4, 4)])
def test_a_grid_that_is_not_two_positive_integers_is_an_error(grid):
    for check in (checked_grid, lambda grid: cells_of([51.0, 52.0], [4.0, 5.0], grid)):
        with pytest.raises(DataError, match=r"grid must be two positive integers.* got ") as caught:
            check(grid)
        assert str(caught.value).endswith(f"got {grid!r}")


@pytest.mark.parametrize(
    ("longitude", "expected"),
    [
        ([-70.1, -70.3], [-70.1, -70.3]),  # farther apart by 2e-14 than 289.9 and 289.7
        ([-99.1, -99.3, -99.25], [-99.1, -99.3, -99.25]),
        ([190.0, 195.0], [190.0, 195.0]),
        ([179.5, -179.5], [179.5, 180.5]),
        ([359.5, 0.5], [-0.5, 0.5]),
    ],
)
def test_longitudes_are_turned_only_where_that_brings_them_together(longitude, expected):
    assert unwrap_longitude(longitude).tolist() == expected


def test_a_latitude_without_a_longitude_is_an_error():
    with pytest.raises(DataError, match=r"one finite number per station, .* \(3,\) and \(1,\)"):
        cells_of([51.0, 51.5, 52.0], [4.0])
