import numpy as np
import pandas as pd

from data_prep.city import CityData
from tritonbn.experiment.study.ensemble import ensemble_rows, mean_estimates


def estimates_of(city: CityData, errors: dict[tuple[str, str, int], float]) -> pd.DataFrame:
    """Estimates that are off the readings of 60 times by the same amount everywhere."""
    times, stations = np.nonzero(city.observed[:60])
    table = pd.DataFrame(
        {
            "time": city.times[times],
            "station": city.stations["station"].to_numpy()[stations],
            "reading": city.values[times, stations],
        }
    )
    return pd.concat(
        table.assign(
            estimate=table["reading"] + np.float32(error), model=model, norm=norm, seed=seed
        )
        for (model, norm, seed), error in errors.items()
    )


def test_errors_of_opposite_sign_cancel(city: CityData) -> None:
    errors = {("cnn-dense", "none", 0): 3.0, ("cnn-dense", "none", 1): -2.0}
    together = mean_estimates(estimates_of(city, errors))
    assert len(together) == city.observed[:60].sum()
    np.testing.assert_allclose(together["estimate"] - together["reading"], 0.5, atol=1e-4)


def test_each_network_of_several_seeds_stands_beside_the_best_baseline(city: CityData) -> None:
    errors = {
        ("cnn-dense", "none", 0): 3.0,
        ("cnn-dense", "none", 1): -2.0,
        ("cnn-dense", "local", 0): 1.0,  # one seed is no ensemble
        ("cnn-residual-without-idw", "none", 0): 0.0,
        ("cnn-residual-without-idw", "none", 1): 0.0,
        ("idw", "-", 0): 4.0,
        ("mean", "-", 0): 2.0,
    }
    header, *rows = ensemble_rows(estimates_of(city, errors), city)
    assert header[4] == "/ mean of others"
    assert rows == [["CNN (dense)", "none", "2", "0.50", "0.25", "-1.50", "-1.50 .. -1.50"]]


def test_without_baselines_the_ensembles_stand_alone(city: CityData) -> None:
    errors = {("cnn-dense", "none", seed): 1.0 for seed in range(3)}
    header, row = ensemble_rows(estimates_of(city, errors), city)
    assert len(header) == 4
    assert row == ["CNN (dense)", "none", "3", "1.00"]
