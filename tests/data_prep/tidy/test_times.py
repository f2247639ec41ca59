"""Times with and without an offset in one table, against `datetime`."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from data_prep import load_city

TIMES = (
    "2024-01-01T05:30+05:30",
    "2024-01-01 02:00",
    "2024-01-01T07:00:00.5Z",
    "2024-01-01T04:00:00",
    "2024-01-01T03:00:00-03:00",
    "2024-01-01 05:00:00.25",
    "2024-01-01T09:00+01:00",
    "2024-01-02",
)


def table(columns):
    return "".join(f"{time},{columns},{number}\n" for number, time in enumerate(TIMES))


def assert_at_their_times(city, zone):
    expected = {}
    for number, text in enumerate(TIMES):
        time = datetime.fromisoformat(text).replace(microsecond=0)
        utc = time.replace(tzinfo=time.tzinfo or zone).astimezone(UTC)
        expected[utc.replace(tzinfo=None)] = number
    times = city.times[city.observed[:, 0]]
    assert dict(zip(times.tolist(), city.values[city.observed], strict=True)) == expected


def test_in_a_tidy_city(write):
    stations = "station,latitude,longitude\nB,51.25,4.45\n"
    city = load_city(write(f"time,station,value\n{table('B')}", stations))
    assert_at_their_times(city, UTC)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Brussels"])
def test_in_any_csv_table(tmp_path, zone):
    (tmp_path / "a.csv").write_text(f"time,station,lat,lon,value\n{table('B,51.25,4.45')}")
    city = load_city(f"csv:{tmp_path / 'a.csv'}", time_zone=zone, progress=False)
    assert_at_their_times(city, ZoneInfo(zone))
