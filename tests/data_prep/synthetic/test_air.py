import numpy as np
import pandas as pd
import pytest

from data_prep.fill import distances_km, idw
from data_prep.senseurcity.sites import antwerp_sites
from data_prep.synthetic.air import Source, make_air, plume, road_exposure


def fortnight(seed):
    times = pd.date_range("2020-07-06", periods=14 * 1440, freq="min").to_numpy("datetime64[s]")
    return make_air(times, antwerp_sites(), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def airs():
    return [fortnight(seed) for seed in range(4)]


def test_concentrations_are_those_of_a_west_european_city(airs):
    pm25 = np.concatenate([air.pm25 for air in airs])
    assert pm25.shape == (4 * 14 * 1440, 31)
    assert pm25.min() > 0
    assert 5 < np.median(pm25) < 14
    assert 25 < np.quantile(pm25, 0.99) < 80
    humidity = np.concatenate([air.humidity for air in airs])
    assert 60 < humidity.mean() < 90
    assert humidity.max() <= 100


def test_a_seed_is_one_air(airs):
    assert fortnight(2).pm25.tobytes() == airs[2].pm25.tobytes()
    assert np.corrcoef(airs[1].pm25[:, 0], airs[2].pm25[:, 0])[0, 1] < 0.9


def test_near_sites_have_more_in_common_than_far_ones(airs):
    sites = antwerp_sites()
    pairs = np.triu_indices(31, 1)
    by_distance = distances_km(sites["latitude"], sites["longitude"])[pairs].argsort()
    for air in airs:
        correlation = np.corrcoef(air.pm25[::10].T)[pairs][by_distance]
        near, _, _, far = (np.median(part) for part in np.array_split(correlation, 4))
        assert near > far + 0.05


def test_neighbours_tell_more_than_the_mean_of_the_city(airs):
    sites = antwerp_sites()
    distances = distances_km(sites["latitude"], sites["longitude"])
    for air in airs:
        truth = air.pm25[::10]
        mean_of_others = (truth.sum(axis=1, keepdims=True) - truth) / 30
        error_of_idw = np.sqrt(np.mean((idw(truth, distances) - truth) ** 2, axis=0)).mean()
        error_of_mean = np.sqrt(np.mean((mean_of_others - truth) ** 2, axis=0)).mean()
        assert error_of_idw < 0.9 * error_of_mean


def test_busy_streets_are_worse_than_quiet_ones_and_worst_in_the_rush_hour(airs):
    sites = antwerp_sites().set_index("site")
    busy = ["ANT_TRA_SING", "ANT_TRA_AMER", "ANT_REF_R804", "ANT_REF_R802"]
    quiet = ["ANT_URB_VINC", "ANT_URB_WAPP", "ANT_URB_BEGI", "ANT_REF_AL01"]
    busy, quiet = sites.index.get_indexer(busy), sites.index.get_indexer(quiet)
    times = pd.DatetimeIndex(airs[0].times)
    excess = np.mean(
        [air.pm25[:, busy].mean(axis=1) - air.pm25[:, quiet].mean(axis=1) for air in airs], axis=0
    )
    weekday = times.day_of_week < 5
    rush, night = excess[weekday & (times.hour == 7)], excess[weekday & (times.hour == 2)]
    assert excess.mean() > 1
    assert rush.mean() > night.mean() + 1


def test_road_exposure_grows_with_traffic_and_falls_with_distance():
    street = pd.DataFrame(
        {"distance_to_road_m": [5.0, 5.0, 50.0, 5.0], "traffic_per_hour": [500, 1500, 1500, np.nan]}
    )
    quiet, busy, far, uncounted = road_exposure(street)
    assert busy > quiet > 0
    assert busy > far > 0
    assert uncounted == 0


def test_a_plume_goes_downwind_widens_and_takes_its_time():
    north, east = 1 / 111.2, 1 / (111.2 * np.cos(np.radians(51.2)))
    kilometres = {"near": (2, 0), "far": (8, 0), "beside": (2, 0.6), "west": (-2, 0)}
    sites = pd.DataFrame(
        {
            "latitude": [51.2 + north * y for _, y in kilometres.values()],
            "longitude": [4.4 + east * x for x, _ in kilometres.values()],
        }
    )
    knots = 20_000  # ten minutes each
    added = plume(
        np.random.default_rng(0),
        Source(51.2, 4.4, grams_per_second=10.0, half_width_km=0.1),
        sites,
        np.tile([12.0, 0.0], (knots, 1)),  # km/h, towards the east
        hour=np.full(knots, 12.0),
        winter=np.zeros(knots),
    )
    near, far, beside, west = added.T
    assert (west == 0).all()
    assert near.mean() > far.mean() > 0
    assert (near > beside).all()
    # 6 km at 12 km/h are 30 minutes, three knots.
    lags = range(7)
    correlation = [
        np.corrcoef(near[10:-10], far[10 + lag : knots - 10 + lag])[0, 1] for lag in lags
    ]
    assert np.argmax(correlation) == 3
