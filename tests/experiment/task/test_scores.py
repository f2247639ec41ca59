import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from data_prep.city import DataError
from tritonbn.experiment.task.scores import (
    city_scores,
    classes,
    concentrations,
    estimates_table,
    hours,
    mean_difference,
    rmse_by,
    skill,
    station_scores,
)


@pytest.fixture
def estimates(city):
    rng = np.random.default_rng(0)
    times, stations = np.nonzero(city.observed[200:])
    times += 200
    readings = city.values[times, stations]
    return estimates_table(city, times, stations, readings + rng.normal(1, 3, len(readings)))


def test_estimates_stand_beside_their_readings(city, estimates):
    row = estimates.iloc[17]
    time = int(np.flatnonzero(city.times == row["time"])[0])
    station = city.stations["station"].to_list().index(row["station"])
    assert row["reading"] == city.values[time, station]


def test_station_scores_are_those_of_scikit_learn(city, estimates):
    table = station_scores(estimates, city).set_index("station")
    assert table.index.to_list() == city.stations["station"].to_list()
    assert table["cell"].to_list() == city.cells.tolist()
    for station, rows in estimates.groupby("station"):
        pair = rows["reading"], rows["estimate"]
        scores = table.loc[station]
        assert scores["readings"] == len(rows)
        assert scores["mean_reading"] == pytest.approx(rows["reading"].mean(), rel=1e-6)
        assert scores["rmse"] == pytest.approx(root_mean_squared_error(*pair), rel=1e-6)
        assert scores["mae"] == pytest.approx(mean_absolute_error(*pair), rel=1e-6)
        assert scores["bias"] == pytest.approx(pair[1].mean() - pair[0].mean(), rel=1e-4)


def test_city_scores_average_over_stations_times_and_readings(city, estimates):
    table = station_scores(estimates, city)
    scores = city_scores(estimates, table)
    assert scores["sprmse"] == pytest.approx(table["rmse"].mean())
    assert scores["spmae"] == pytest.approx(table["mae"].mean())
    assert scores["stations"] == 6
    pair = estimates["reading"], estimates["estimate"]
    assert scores["r2"] == pytest.approx(r2_score(*pair), rel=1e-6)
    assert scores["bias"] == pytest.approx(pair[1].mean() - pair[0].mean(), rel=1e-4)
    of_times = [
        root_mean_squared_error(rows["reading"], rows["estimate"])
        for _, rows in estimates.groupby("time")
    ]
    assert scores["time_rmse"] == pytest.approx(np.mean(of_times), rel=1e-6)


def test_a_station_without_estimates_has_no_score(city, estimates):
    table = station_scores(estimates[estimates["station"] != "S1"], city)
    assert table.loc[1, "readings"] == 0
    assert table.loc[1, ["rmse", "mae", "bias", "mean_reading"]].isna().all()
    assert city_scores(estimates, table)["stations"] == 5


def test_stations_with_few_readings_do_not_count(city, estimates):
    few = estimates[(estimates["station"] != "S1") | (estimates["time"] > city.times[-20])]
    table = station_scores(few, city)
    assert 0 < table.loc[1, "readings"] < 24
    assert city_scores(few, table)["sprmse"] == pytest.approx(table["rmse"].drop(1).mean())
    most = table["readings"].max()
    with pytest.raises(DataError, match=rf"1001 scored readings; .* has is {most}"):
        city_scores(few, table, min_readings=1001)


def test_rmse_by_hour_concentration_and_class(city, estimates):
    by_hour = rmse_by(estimates, hours(estimates))
    assert by_hour.index.to_list() == list(range(24))
    seven = estimates[estimates["time"].dt.hour == 7]
    expected = root_mean_squared_error(seven["reading"], seven["estimate"])
    assert by_hour[7] == pytest.approx(expected, rel=1e-6)
    by_concentration = rmse_by(estimates, concentrations(estimates))
    counts = concentrations(estimates).value_counts()
    assert len(by_concentration) == 5
    assert counts.max() - counts.min() <= 2
    city.stations["class"] = ["traffic", None, "urban", "urban", "traffic", "urban"]
    try:
        assert set(rmse_by(estimates, classes(estimates, city)).index) == {
            "traffic",
            "urban",
            "unknown",
        }
    finally:
        del city.stations["class"]
    assert (classes(estimates, city) == "unknown").all()


def test_skill_is_one_minus_the_ratio_of_square_errors(estimates):
    worse = estimates.assign(estimate=estimates["reading"] + 2)
    better = estimates.assign(estimate=estimates["reading"] + 1).sample(frac=1, random_state=0)
    assert skill(better, worse) == pytest.approx(0.75, rel=1e-5)
    assert skill(worse, worse) == 0
    with pytest.raises(DataError, match="does not contain the same readings"):
        skill(better, worse[1:])


@pytest.mark.filterwarnings("error")
def test_without_an_error_or_a_variance_to_compare_with_there_is_no_skill_and_no_r2(
    city, estimates
):
    perfect = estimates.assign(estimate=estimates["reading"])
    assert np.isnan(skill(estimates, perfect))
    constant = estimates.assign(reading=np.float32(5))
    assert np.isnan(city_scores(constant, station_scores(constant, city))["r2"])


def test_a_difference_has_an_interval_over_the_stations():
    rng = np.random.default_rng(0)
    differences = rng.normal(-1, 0.5, (1, 40))
    mean, low, high = mean_difference(differences)
    assert low < mean < high < 0
    assert high - low == pytest.approx(2 * 1.96 * differences.std() / np.sqrt(40), rel=0.05)
    mean, low, high = mean_difference(rng.normal(0, 3, (1, 40)))
    assert low < 0 < high
    assert mean_difference(np.zeros((1, 40))) == (0, 0, 0)


def test_seeds_that_move_all_stations_together_are_no_difference():
    """Of equal models: the interval must hold 0, as a rule; over stations alone it would not."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(40):
        one, other = (
            10 + rng.normal(0, 0.3, (5, 1)) + rng.normal(0, 0.1, (5, 30)) for _ in range(2)
        )
        _, low, high = mean_difference(one - other)
        held += low <= 0 <= high
    assert held >= 30


def test_few_stations_allow_no_interval():
    mean, low, high = mean_difference(np.ones((2, 5)))
    assert mean == 1
    assert np.isnan([low, high]).all()


def test_the_published_score_is_expected_to_be_the_mean_absolute_error(city):
    """It is the RMSE of a single sample of each batch, averaged over batches and stations."""
    times, stations = np.nonzero(city.observed)
    rng = np.random.default_rng(0)
    off = rng.normal(0, 3, len(times))
    table = estimates_table(city, times, stations, city.values[times, stations] + off)
    scores = city_scores(table, station_scores(table, city))
    errors = [off[stations == station] for station in range(len(city.stations))]
    drawn = [
        [np.sqrt(np.mean(rng.choice(of_station, 1) ** 2)) for _ in range(4000)]
        for of_station in errors
    ]
    assert np.mean(drawn) == pytest.approx(scores["spmae"], rel=0.02)
    assert scores["spmae"] < 0.9 * scores["sprmse"]
