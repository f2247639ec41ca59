from collections import Counter

import numpy as np
import pandas as pd
import pytest

from data_prep.senseurcity.sites import antwerp_sites
from data_prep.synthetic.air import Air
from data_prep.synthetic.device import DEPLOYMENT, FLAGS, flag_words, record

SITES = antwerp_sites()


def calm_air(start, days, pm25=10.0, humidity=50.0):
    """Air that is the same everywhere and all the time."""
    times = pd.date_range(start, periods=int(days * 1440), freq="min").to_numpy("datetime64[s]")
    steady = np.full(len(times), humidity, np.float32)
    return Air(times, np.full((len(times), 31), pm25, np.float32), steady, steady)


def flagged(log, flag):
    return (log.flags >> FLAGS.index(flag) & 1).astype(bool)


def test_34_devices_on_31_sites_and_the_three_pairs_where_they_stood():
    devices_at = Counter(DEPLOYMENT.values())
    assert len(DEPLOYMENT) == 34
    assert set(devices_at) == set(SITES["site"])
    pairs = {site for site, count in devices_at.items() if count == 2}
    assert pairs == {"ANT_REF_R801", "ANT_REF_R802", "ANT_REF_R804"}
    for site, units in {
        "ANT_REF_R801": {"40499C", "4043B1"},
        "ANT_REF_R802": {"4049A6", "4043A7"},
        "ANT_REF_R804": {"40499F", "4043AE"},
    }.items():
        assert {device for device, place in DEPLOYMENT.items() if place == site} == units


def sites_by_minute(device, start, days, seed=0):
    air = calm_air(start, days)
    log = record(air, SITES, device, np.random.default_rng(seed))
    return pd.Series(SITES["site"].to_numpy()[log.site], air.times[log.minute]), log


@pytest.mark.parametrize("device", DEPLOYMENT)
def test_every_device_is_deployed_from_the_end_of_june_to_mid_february(device):
    for start, days in (("2020-06-29T10:20", 0.5), ("2021-02-16T19:19", 0.5)):
        assert set(sites_by_minute(device, start, days)[0]) == {DEPLOYMENT[device]}


def test_devices_stand_at_one_reference_station_before_and_after():
    for start in ("2020-04-02", "2021-03-01"):
        for device in ("402B00", "4049A6", "408178"):
            assert set(sites_by_minute(device, start, 0.5)[0]) == {"ANT_REF_R801"}


def test_the_window_is_that_of_the_real_campaign():
    site, _ = sites_by_minute("408168", "2020-06-29T00:00", 1)
    assert site.index[site == "ANT_URB_PARK"][0] == pd.Timestamp("2020-06-29T10:20")
    site, _ = sites_by_minute("402B00", "2021-02-16T12:00", 2)
    assert site.index[site == "ANT_URB_BRED"][-1] == pd.Timestamp("2021-02-17T07:18")


def test_a_move_takes_time_and_is_followed_by_a_warm_up():
    site, log = sites_by_minute("408168", "2020-06-29T00:00", 1)
    gap = pd.Series(site.index).diff().max()
    assert pd.Timedelta("1h") < gap < pd.Timedelta("3h")
    warm = flagged(log, "W")
    moved = (site == "ANT_URB_PARK").to_numpy()
    for rows in (~moved, moved):
        assert warm[rows][:100].all()
        assert not warm[rows][200:].any()


def test_most_minutes_have_a_valid_reading_and_some_rows_are_missing():
    air = calm_air("2020-07-06", 60)
    log = record(air, SITES, "4065EA", np.random.default_rng(1))
    assert 0.85 < len(log.minute) / len(air.times) < 0.9995
    assert (np.diff(log.minute) > 0).all()
    valid = (log.flags == 0) & ~np.isnan(log.pm25)
    assert 0.95 < valid.mean() < 0.9995
    assert log.pm25[~np.isnan(log.pm25)].min() >= 0


def test_valid_readings_are_near_the_air_and_outliers_are_flagged():
    readings = []
    for seed in range(12):
        log = record(calm_air("2020-07-06", 5), SITES, "4065EA", np.random.default_rng(seed))
        valid = log.pm25[log.flags == 0]
        assert np.nanstd(valid) < 2
        assert np.nanmax(valid) < 25
        assert np.nanmax(log.pm25[flagged(log, "OutliersMax")]) > 40
        readings.append(np.nanmedian(valid))
    assert np.mean(readings) == pytest.approx(10, abs=1.5)
    assert np.std(readings) > 0.3  # each sensor has a gain and an offset of its own


def test_humid_air_is_over_read_and_flagged_when_saturated():
    logs = [
        record(
            calm_air("2020-07-06", 1, humidity=humidity), SITES, "4065EA", np.random.default_rng(0)
        )
        for humidity in (40, 90, 99)
    ]
    dry, humid, wet = (np.nanmedian(log.pm25) for log in logs)
    assert wet > humid > 1.15 * dry
    assert [flagged(log, "Rh.max").any() for log in logs] == [False, False, True]


def test_clean_air_never_reads_negative():
    log = record(calm_air("2020-07-06", 2, pm25=0.1), SITES, "4065EA", np.random.default_rng(3))
    assert np.nanmin(log.pm25) >= 0
    assert flagged(log, "Low_values").any()


def test_flags_are_spelled_as_in_the_archive():
    flags = np.array([0, 1, 1 << FLAGS.index("Inv") | 1 << FLAGS.index("Rh.max")])
    assert flag_words(flags).tolist() == ["", "W", "Inv,Rh.max"]
