from collections.abc import Callable
from types import SimpleNamespace

import pandas as pd
import pytest

from data_prep.city import CityData
from data_prep.fill import distances_km
from tritonbn.experiment.study.figures import draw_errors, nearest_visible
from tritonbn.experiment.study.tables import MEANS
from tritonbn.experiment.task.folds import Fold, fold_numbers
from tritonbn.experiment.task.protocol import PROTOCOLS

VALIDATION = {
    ("masked", "cnn-dense", "none"): 5.0,
    ("masked", "cnn-dense", "local"): 4.0,
    ("masked", "idw", "-"): 1.0,
    ("unseen", "cnn-dense", "none"): 6.0,
    ("unseen", "cnn-dense", "local"): 7.0,
    ("unseen", "idw", "-"): 1.0,
}


def test_the_network_that_validation_chooses_is_drawn_beside_idw(city: CityData) -> None:
    runs = pd.DataFrame(
        {"protocol": protocol, "model": model, "norm": norm, "seed": 0, "sprmse": 3.0}
        | {**dict.fromkeys(MEANS, 1.0), "validation_sprmse": score}
        for (protocol, model, norm), score in VALIDATION.items()
    )
    stations = runs[["protocol", "model", "norm", "seed"]].merge(
        city.stations["station"], how="cross"
    )
    stations = stations.assign(readings=30, rmse=3.0)
    results = SimpleNamespace(city=city, runs=lambda: runs, stations=lambda: stations)
    legends = [ax.get_legend().get_texts() for ax in draw_errors(results).axes]
    assert [[text.get_text() for text in legend] for legend in legends] == [
        ["CNN (dense) local", "IDW"],
        ["CNN (dense) none", "IDW"],
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_nearest_visible_station_is_none_of_the_hidden(
    make_city: Callable[..., CityData], protocol: str
) -> None:
    city = make_city(stations=7)
    distances = distances_km(city.stations["latitude"], city.stations["longitude"])
    nearest = nearest_visible(city, protocol)
    folds = PROTOCOLS[protocol].folds
    for station in range(7):
        hidden = Fold(city, protocol, fold_numbers(7, folds)[station]).held_out
        seen = [s for s in range(7) if s != station and not hidden[s]]
        assert nearest[station] == distances[station, seen].min()
