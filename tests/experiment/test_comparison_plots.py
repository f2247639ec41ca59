from types import SimpleNamespace

import pandas as pd

from data_prep.city import CityData
from tritonbn.experiment.comparison_plots import draw_distances
from tritonbn.experiment.table import MEANS

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
    legends = [ax.get_legend().get_texts() for ax in draw_distances(results).axes]
    assert [[text.get_text() for text in legend] for legend in legends] == [
        ["CNN (dense) local", "IDW"],
        ["CNN (dense) none", "IDW"],
    ]
