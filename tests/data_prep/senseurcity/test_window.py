import numpy as np
import pandas as pd
import pytest

from data_prep.city import DataError
from data_prep.senseurcity.device import Device
from data_prep.senseurcity.window import find_window

START = np.datetime64("2020-07-01T00:00", "m")


def device(name, *stays):
    """Make a device from stays (site, first minute, last minute) after `START`."""
    sites = sorted({site for site, _, _ in stays})
    minutes = [np.arange(first, last + 1) for _, first, last in stays]
    site = [np.full(len(m), sites.index(s)) for m, (s, _, _) in zip(minutes, stays, strict=True)]
    minute = np.concatenate(minutes) + START.astype(int)
    return Device(
        name=name,
        sites=sites,
        minute=minute.astype(np.int32),
        site=np.concatenate(site).astype(np.int16),
        value=np.ones(len(minute), np.float32),
        fixes=pd.DataFrame(),
        report={},
    )


CAMPAIGN = [
    device("a", ("REF", 0, 99), ("PARK", 130, 500), ("REF", 530, 600)),
    device("b", ("REF", 5, 90), ("ROAD", 120, 480), ("REF", 510, 600)),
    device("c", ("REF", 0, 600)),
    device("d", ("LAB", 0, 20), ("REF", 40, 110), ("ROAD", 115, 490), ("REF", 510, 610)),
]


def at(minute):
    return START + np.timedelta64(minute, "m")


def test_the_window_is_when_all_devices_are_deployed():
    window, report = find_window(CAMPAIGN)
    assert window.times[0] == at(130)
    assert window.times[-1] == at(490)
    assert len(window) == len(window.times) == report["minutes"] == 361
    assert (np.diff(window.times) == np.timedelta64(60, "s")).all()
    assert report["decided_by"] == {"start": "first row at PARK", "end": "last row at ROAD"}
    assert report["sites"] == {
        "PARK": {"first": "2020-07-01T02:10", "last": "2020-07-01T08:20", "devices": ["a"]},
        "REF": {"first": "2020-07-01T00:00", "last": "2020-07-01T10:00", "devices": ["c"]},
        "ROAD": {"first": "2020-07-01T01:55", "last": "2020-07-01T08:10", "devices": ["b", "d"]},
    }


def test_start_and_end_can_be_given_one_by_one():
    window, report = find_window(CAMPAIGN, start="2020-07-01 00:10:30")
    assert window.times[[0, -1]].tolist() == [at(10).item(), at(490).item()]
    assert report["decided_by"] == {"start": "given", "end": "last row at ROAD"}
    window, _ = find_window(CAMPAIGN, end=at(200))
    assert window.times[[0, -1]].tolist() == [at(130).item(), at(200).item()]
    window, _ = find_window(CAMPAIGN, start="2020-07-01T04:00+02:00", end="2020-07-01T02:30Z")
    assert window.times[[0, -1]].tolist() == [at(120).item(), at(150).item()]


def test_a_window_wider_than_the_data_is_cut_to_it():
    window, _ = find_window(CAMPAIGN, start="1970-01-01", end="2100-01-01")
    assert window.times[[0, -1]].tolist() == [at(0).item(), at(610).item()]


def test_sites_that_never_run_together_are_named():
    devices = [device("a", ("PARK", 0, 10)), device("b", ("ROAD", 20, 30))]
    with pytest.raises(DataError, match=r"first row at ROAD.*last row at PARK.*another start"):
        find_window(devices)
    window, _ = find_window(devices, end="2020-07-01T00:25")
    assert len(window) == 6


@pytest.mark.parametrize("moment", ["soon", "", "2020-13-01", "NaT", 2020])
def test_what_is_no_time_is_an_error(moment):
    with pytest.raises(DataError, match="end must be a time like '2020-06-29 10:20', got"):
        find_window(CAMPAIGN, end=moment)
