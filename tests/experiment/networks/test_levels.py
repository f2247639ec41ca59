from dataclasses import replace

import numpy as np
import pytest
from every_network import config_of

from tritonbn.experiment.networks import combinations
from tritonbn.experiment.networks.config import ConfigError
from tritonbn.experiment.networks.levels import correlations, of_places, of_places_and_clusters
from tritonbn.experiment.networks.network import Network
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.parts import split


def windows_of(city):
    return Fold(city, "masked").windows


def two_groups(city):
    """Replace the readings: stations of even and of odd number vary in two unrelated ways."""
    rng = np.random.default_rng(1)
    common = rng.normal(30, 10, (len(city.times), 2))[:, np.arange(len(city.stations)) % 2]
    noise = rng.normal(0, 1, common.shape)
    return replace(city, values=(common + noise).astype(np.float32))


def test_the_correlation_of_two_stations_is_that_of_their_common_readings(city):
    found = correlations(windows_of(city))
    values = city.values[split(city)["train"]].astype(np.float64)
    for one in range(6):
        for other in range(6):
            both = ~np.isnan(values[:, [one, other]]).any(axis=1)
            expected = np.corrcoef(values[both, one], values[both, other])[0, 1]
            assert found[one, other] == pytest.approx(expected, abs=1e-6)


def test_a_station_without_readings_has_the_mean_correlation(make_city):
    city = two_groups(make_city())
    values = city.values.copy()
    values[split(city)["train"], 2] = np.nan
    others = np.delete(np.arange(6), 2)
    with_all = correlations(windows_of(city))[np.ix_(others, others)]
    found = correlations(windows_of(replace(city, values=values)))
    assert found[2, 2] == 1
    pairs = with_all[~np.eye(5, dtype=bool)]
    np.testing.assert_allclose(found[2, others], pairs.mean())
    np.testing.assert_array_equal(found[np.ix_(others, others)], with_all)


def test_without_any_pair_of_stations_the_correlation_is_0(make_city):
    city = make_city()
    alone = replace(city, values=np.full_like(city.values, 7.0))
    np.testing.assert_array_equal(correlations(windows_of(alone)), np.eye(6))


def test_stations_that_vary_alike_are_in_one_cluster(make_city, monkeypatch):
    monkeypatch.setattr("tritonbn.experiment.networks.levels.CLUSTERS", 2)
    city = two_groups(make_city())
    cells, stations, clusters, grid = of_places_and_clusters(windows_of(city))
    assert [level.num_segments for level in (cells, stations, clusters, grid)] == [30, 6, 2, 1]
    of_stations = clusters.ids.flatten()[city.cells.tolist()]
    np.testing.assert_array_equal(of_stations, np.arange(6) % 2)
    for station in range(6):  # every cell is in the cluster of its nearest station
        assert set(clusters.ids[stations.ids == station].tolist()) == {station % 2}


def test_the_levels_of_places_have_no_clusters(city):
    levels = of_places(windows_of(city))
    assert [level.num_segments for level in levels] == [30, 6, 1]
    assert [levels[1].ids.flatten()[cell].item() for cell in city.cells] == [*range(6)]


@pytest.mark.parametrize("stations", [2, 3])
def test_there_are_not_more_clusters_than_stations(make_city, stations):
    city = make_city(stations=stations)
    clusters = of_places_and_clusters(windows_of(city))[2]
    assert 1 <= clusters.num_segments <= stations


def test_without_scikit_learn_the_choice_of_clusters_is_an_error(monkeypatch):
    monkeypatch.setattr(combinations, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"norm pooled-clusters needs scikit-learn: pip install"):
        config_of(Network("cnn"), "pooled-clusters", "masked")
    config_of(Network("cnn"), "pooled", "masked")
