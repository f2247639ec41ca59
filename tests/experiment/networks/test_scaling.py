from dataclasses import replace

import numpy as np
import pytest
import torch

from data_prep.city import CityData, DataError
from tritonbn.experiment.networks.encoding import Published, to_grid
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.parts import split


def with_values(city: CityData, values: np.ndarray) -> CityData:
    return replace(city, values=values.astype(np.float32))


def scale_of(city):
    return Published(Fold(city, "masked"), Scaler.fit(city), torch.device("cpu")).scale


class TestScaler:
    def test_takes_minimum_and_maximum_over_all_stations(self, city):
        part = torch.tensor(city.values[split(city)["train"]])
        scaled = scale_of(city).scale(part).numpy()
        assert scaled.dtype == np.float32
        assert np.nanmin(scaled) == 0
        assert np.nanmax(scaled) == 1
        assert np.count_nonzero(np.nanmax(scaled, axis=0) == 1) == 1

    @pytest.mark.parametrize("later", [1e9, -1e9, np.nan])
    def test_knows_nothing_of_validation_and_test(self, city, later):
        values = city.values.copy()
        values[split(city)["train"].stop :] = later
        assert Scaler.fit(with_values(city, values)) == Scaler.fit(city)

    def test_a_percentile_that_is_the_minimum_is_refused(self, city):
        values = np.ones_like(city.values)
        values[0, 0] = 5.0
        with pytest.raises(DataError, match=r"99th percentile .* is their minimum, 1 ug/m3"):
            Scaler.fit(with_values(city, values), "percentile")

    def test_unscale_undoes_scale(self, city):
        scale = scale_of(city)
        scaled = scale.scale(torch.tensor(city.values))[:, None, None]  # as (B, 1, 1, S)
        np.testing.assert_allclose(scale.unscale(scaled)[:, 0, 0], city.values, 1e-6)

    @pytest.mark.parametrize("value", [np.nan, 7.0])
    def test_needs_two_different_readings(self, city, value):
        with pytest.raises(
            DataError, match="training part of Testville needs two different readings"
        ):
            Scaler.fit(with_values(city, np.full_like(city.values, value)))


def test_to_grid_puts_values_into_cells_and_zero_elsewhere(city):
    stations = torch.rand(4, 2, 6)
    stations[1, 1, 3] = torch.nan
    grid = to_grid(stations, city)
    assert grid.shape == (4, 2, 1, 5, 6)
    expected = torch.zeros(4, 2, 1, 5, 6)
    for b in range(4):
        for t in range(2):
            for s, cell in enumerate(city.cells.tolist()):
                if (b, t, s) != (1, 1, 3):
                    expected[b, t, 0, cell // 6, cell % 6] = stations[b, t, s]
    assert torch.equal(grid, expected)


def test_one_outlier_moves_the_maximum_and_not_the_percentile(city):
    values = city.values.copy()
    values[3, 2] = 489.0
    spoilt = with_values(city, values)
    assert Scaler.fit(spoilt).maximum == 489.0
    highest = Scaler.fit(spoilt, "percentile").maximum
    part = values[split(city)["train"]]
    assert highest == pytest.approx(np.nanquantile(part, 0.99))
    assert highest == pytest.approx(Scaler.fit(city, "percentile").maximum, rel=0.05)


def test_the_published_scaling_is_by_all_readings(city):
    values = city.values.copy()
    values[-1] = 489.0
    assert Scaler.fit(with_values(city, values), "all").maximum == 489.0
    assert Scaler.fit(with_values(city, values)).maximum < 100
