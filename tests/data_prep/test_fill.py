import math
import tracemalloc

import numpy as np
import pytest

from data_prep.fill import distances_km, fill, idw


@pytest.fixture
def city():
    """Eight stations, 40 times, a third missing, one row with a single reading, one with none."""
    rng = np.random.default_rng(0)
    distances = distances_km(rng.uniform(51.1, 51.3, 8), rng.uniform(4.3, 4.5, 8))
    values = rng.gamma(2, 6, (40, 8)).astype(np.float32)
    values[rng.random((40, 8)) < 0.33] = np.nan
    values[3] = np.nan
    values[4] = np.nan
    values[4, 2] = 7.0
    return values, distances, rng.random((40, 8)) < 0.7


def idw_by_loops(values, distances, power):
    """sum(w v) / sum(w) over the other stations with a reading, w = d^-power, in float64."""
    out = np.full(values.shape, np.nan)
    for b, row in enumerate(values.tolist()):
        for s in range(len(row)):
            pairs = [
                (distances[s, o] ** -power, v)
                for o, v in enumerate(row)
                if o != s and not math.isnan(v)
            ]
            if pairs:
                out[b, s] = sum(w * v for w, v in pairs) / sum(w for w, _ in pairs)
    return out


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
def test_idw_is_its_formula(city, power):
    values, distances, _ = city
    result = idw(values, distances, power)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, idw_by_loops(values, distances, power), rtol=1e-6)


def test_idw_uses_only_what_is_visible(city):
    values, distances, visible = city
    expected = idw_by_loops(np.where(visible, values, np.nan), distances, 2.0)
    np.testing.assert_allclose(idw(values, distances, visible=visible), expected, rtol=1e-6)


@pytest.mark.parametrize("function", [idw, fill])
@pytest.mark.parametrize("replacement", [np.nan, 1e6, np.inf])
def test_nothing_hidden_leaks(city, function, replacement):
    values, distances, visible = city
    changed = np.where(visible, values, np.float32(replacement))
    result = function(values, distances, visible=visible)
    assert function(changed, distances, visible=visible).tobytes() == result.tobytes()


def test_a_station_is_estimated_without_its_own_reading(city):
    values, distances, _ = city
    changed = values.copy()
    changed[:, 5] = 1e6
    assert idw(changed, distances)[:, 5].tobytes() == idw(values, distances)[:, 5].tobytes()


def test_a_row_without_readings_stays_missing_and_one_reading_fills_all_others(city):
    values, distances, _ = city
    estimate = idw(values, distances)
    assert np.isnan(estimate[3]).all()
    assert np.isnan(estimate[4, 2])
    assert (np.delete(estimate[4], 2) == 7).all()
    assert np.isnan(fill(values, distances)[3]).all()
    assert (fill(values, distances)[4] == 7).all()


def test_fill_keeps_readings_and_estimates_the_rest(city):
    values, distances, visible = city
    filled = fill(values, distances, visible=visible)
    known = visible & ~np.isnan(values)
    assert filled.dtype == np.float32
    assert (filled[known] == values[known]).all()
    estimate = idw(values, distances, visible=visible)
    np.testing.assert_array_equal(filled[~known], estimate[~known])


def test_leading_axes_are_rows(city):
    values, distances, visible = city
    cube = (values.reshape(5, 8, 8), distances, 2.0, visible.reshape(5, 8, 8))
    expected = fill(values, distances, visible=visible)
    np.testing.assert_allclose(fill(*cube).reshape(40, 8), expected, rtol=1e-6)


def test_a_large_common_level_is_kept_exactly():
    distances = distances_km([51.1, 51.2, 51.2001], [4.3, 4.4, 4.4])
    np.testing.assert_array_equal(idw(np.full((2, 3), 1e6, np.float32), distances), 1e6)


def test_distances_are_great_circles():
    # Antwerp to Brussels and to Sydney by the spherical law of cosines.
    latitude, longitude = [51.2194, 50.8503, -33.8688], [4.4025, 4.3517, 151.2093]
    distances = distances_km(latitude, longitude)

    def law_of_cosines(a, b):
        p, q = math.radians(latitude[a]), math.radians(latitude[b])
        angle = math.radians(longitude[a] - longitude[b])
        cosine = math.sin(p) * math.sin(q) + math.cos(p) * math.cos(q) * math.cos(angle)
        return 6371.0088 * math.acos(cosine)

    assert distances[0, 1] == pytest.approx(law_of_cosines(0, 1), rel=1e-6)
    assert distances[0, 2] == pytest.approx(law_of_cosines(0, 2), rel=1e-6)
    assert distances[0, 1] == pytest.approx(41.2, abs=0.2)
    np.testing.assert_array_equal(distances, distances.T)


def test_distances_have_a_floor_of_50_m():
    distances = distances_km([51.2096166, 51.209441, 51.2], [4.4317877, 4.4316401, 4.4])  # 22 m
    assert distances[0, 1] == 0.05
    assert (np.diag(distances) == 0.05).all()


def test_blocks_of_rows_change_nothing(city, monkeypatch):
    values, distances, visible = city
    whole = idw(values, distances, visible=visible)
    monkeypatch.setattr("data_prep.fill._BLOCK_VALUES", 8 * 7)  # blocks of seven rows
    np.testing.assert_allclose(idw(values, distances, visible=visible), whole, rtol=1e-6)


def test_memory_is_proportional_to_the_readings():
    """An array of times x stations x stations would be a hundred times as large."""
    rng = np.random.default_rng(0)
    values = rng.gamma(2, 6, (20_000, 300)).astype(np.float32)
    distances = distances_km(rng.uniform(51.1, 51.3, 300), rng.uniform(4.3, 4.5, 300))
    tracemalloc.start()
    fill(values, distances)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * values.nbytes


def test_what_is_visible_may_have_more_rows_than_the_values(city):
    values, distances, visible = city
    several = idw(values[:1], distances, visible=visible)
    each = [idw(values[:1], distances, visible=row[None])[0] for row in visible]
    np.testing.assert_allclose(several, each, rtol=1e-6)
