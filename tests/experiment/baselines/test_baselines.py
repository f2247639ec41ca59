"""What holds for every baseline, whatever it does."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from data_prep.city import DataError
from tritonbn.experiment.baselines import BASELINES

KEYS = list(BASELINES)
BLIND = [key for key in KEYS if not BASELINES[key].knows_station]
STATION = 2


def test_names_and_what_they_need():
    assert KEYS == [
        "mean-own", "mean", "nearest", "idw", "idw-offset", "kriging", "gp", "ridge", "boosting",
    ]  # fmt: skip
    assert {key for key in KEYS if BASELINES[key].knows_station} == {
        "mean-own",
        "idw-offset",
        "ridge",
    }
    assert len({baseline.title for baseline in BASELINES.values()}) == len(KEYS)


@pytest.mark.parametrize("horizon", [0, 1])
@pytest.mark.parametrize("key", KEYS)
def test_estimates_and_their_type(field, key, horizon):
    training, windows = field(horizon=horizon)
    estimates = BASELINES[key](training).estimate(windows, STATION)
    assert estimates.shape == (len(windows),)
    assert estimates.dtype == np.float32
    assert np.isfinite(estimates).all()


@pytest.mark.parametrize("key", KEYS)
def test_the_stations_own_window_is_not_looked_at(field, key):
    training, windows = field()
    baseline = BASELINES[key](training)
    seen = windows.copy()
    seen[..., STATION] = 1000.0
    np.testing.assert_array_equal(
        baseline.estimate(seen, STATION), baseline.estimate(windows, STATION)
    )
    assert (seen[..., STATION] == 1000.0).all(), "the caller's array is changed"


@pytest.mark.parametrize("key", KEYS)
def test_the_stations_training_readings_matter_only_to_who_knows_it(field, key):
    training, windows = field()
    readings = training.readings.copy()
    readings[:, STATION] = 500 - 3 * readings[:, STATION]
    before = BASELINES[key](training).estimate(windows, STATION)
    after = BASELINES[key](replace(training, readings=readings)).estimate(windows, STATION)
    assert np.array_equal(before, after) != BASELINES[key].knows_station


@pytest.mark.parametrize("key", BLIND)
def test_a_station_absent_from_training_can_be_estimated(field, key):
    training, windows = field()
    absent = BASELINES[key](training.without(STATION))
    np.testing.assert_array_equal(
        absent.estimate(windows, STATION), BASELINES[key](training).estimate(windows, STATION)
    )


@pytest.mark.parametrize("key", KEYS)
def test_rows_of_a_batch_are_independent(field, key):
    training, windows = field()
    baseline = BASELINES[key](training)
    together = baseline.estimate(windows, STATION)
    alone = [baseline.estimate(windows[[row]], STATION)[0] for row in range(6)]
    np.testing.assert_allclose(together[:6], alone, rtol=1e-5)


@pytest.mark.parametrize("key", KEYS)
def test_estimates_do_not_depend_on_which_station_was_estimated_before(field, key):
    training, windows = field()
    baseline = BASELINES[key](training)
    baseline.estimate(windows, 0)
    again = baseline.estimate(windows, STATION)
    np.testing.assert_array_equal(again, BASELINES[key](training).estimate(windows, STATION))


@pytest.mark.parametrize("key", KEYS)
def test_nan_where_nothing_is_known_at_the_newest_time_and_nowhere_else(field, key):
    training, windows = field()
    windows[0, -1] = np.nan
    windows[1, -1, 1:] = np.nan  # a single other station
    windows[2, :-1] = np.nan
    estimates = BASELINES[key](training).estimate(windows, STATION)
    assert np.isnan(estimates).tolist() == [True] + [False] * (len(windows) - 1)
    nothing = BASELINES[key](training).estimate(windows[:1], STATION)
    assert np.isnan(nothing).all()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("width", [1, 2, 5])
def test_any_number_of_times_may_be_seen(field, key, width):
    training, windows = field()
    wide = np.concatenate([windows, windows], axis=1)[:, -width:]
    estimates = BASELINES[key](training).estimate(wide, STATION)
    assert np.isfinite(estimates).all()


@pytest.mark.parametrize("key", [key for key in KEYS if BASELINES[key].knows_station])
def test_who_must_know_the_station_says_so(field, key):
    training, windows = field()
    baseline = BASELINES[key](training.without(STATION))
    with pytest.raises(
        DataError, match="needs readings of the station in the training part; there are none"
    ):
        baseline.estimate(windows, STATION)
    assert np.isfinite(baseline.estimate(windows, 0)).all()


@pytest.mark.parametrize("key", ["idw", "kriging", "gp", "boosting"])
def test_too_little_to_fit(field, key):
    training, windows = field()
    readings = training.readings.copy()
    readings[:, 2:] = np.nan  # without station 0, station 1 is alone
    with pytest.raises(DataError, match=r"other stations|two stations"):
        BASELINES[key](replace(training, readings=readings)).estimate(windows, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("case", ["four stations", "one place", "one reading for all"])
def test_little_to_learn_from(field, key, case):
    """The estimate lies among the readings, whatever the fit makes of it."""
    training, windows = field()
    if case == "four stations":
        change = {
            "readings": training.readings[:, :4],
            "latitude": training.latitude[:4],
            "longitude": training.longitude[:4],
        }
        windows = windows[..., :4]
    elif case == "one place":
        change = {"latitude": np.full(8, 50.0), "longitude": np.full(8, 4.0)}
    else:
        change = {"readings": np.full_like(training.readings, 30.0)}
    estimates = BASELINES[key](replace(training, **change)).estimate(windows, STATION)
    assert ((estimates > 0) & (estimates < 80)).all()


@pytest.mark.parametrize("key", [key for key in KEYS if BASELINES[key].requires])
def test_a_missing_library_is_named_when_the_baseline_is_made(field, key, monkeypatch):
    monkeypatch.setattr("tritonbn.experiment.baselines.baseline.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'tritonbn\[baselines\]'"):
        BASELINES[key](field()[0])


def test_importing_the_baselines_loads_no_library():
    code = (
        "import sys; import tritonbn.experiment.baselines; "
        "print([name for name in ('sklearn', 'gstools') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_pairs_are_as_far_apart_as_the_horizon(field):
    training, _ = field(horizon=1)
    hours = np.delete(np.arange(12.0), [4, 5, 9])
    gaps = replace(training, readings=training.readings[:9], hours=hours)
    seen, estimated = gaps.pairs()
    assert hours[seen].tolist() == [0, 1, 2, 6, 7, 10]
    assert hours[estimated].tolist() == [1, 2, 3, 7, 8, 11]
    seen, estimated = replace(gaps, horizon=0).pairs()
    assert seen.tolist() == estimated.tolist() == list(range(9))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hours": np.arange(3.0)}, "of 3 hours"),
        ({"latitude": np.zeros(3)}, "3 latitudes"),
        ({"longitude": np.zeros(3)}, "3 longitudes"),
        ({"hours": np.zeros(200)}, "strictly increasing"),
        ({"horizon": 2}, "horizon must be 0 or 1, got 2"),
        ({"readings": np.full((200, 8), np.nan, np.float32)}, "has no reading"),
        ({"readings": np.ones((1, 8), np.float32), "hours": np.zeros(1)}, "at least two times"),
    ],
)
def test_what_training_must_be(field, change, message):
    training, _ = field()
    with pytest.raises(DataError, match=message):
        replace(training, **change)
