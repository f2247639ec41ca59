import json
import math
from pathlib import Path

from data_prep.city import CityData
from tritonbn.experiment.results import KEYS, Results


def test_validation_is_that_of_the_best_weights_of_each_fold(
    city: CityData, tmp_path: Path
) -> None:
    scores = ((0, 9.0), (0, 7.0), (0, 8.0), (1, 5.0), (1, 6.0))
    history = [{"fold": fold, "validation_sprmse": score} for fold, score in scores]
    for folder, row, of_row in (
        ("runs", ("unseen", "cnn", "none", 0), history),
        ("rivals", ("unseen", "idw", "-", 0), []),
    ):
        path = tmp_path / folder / "some" / "result.json"
        path.parent.mkdir(parents=True)
        result = {**dict(zip(KEYS, row, strict=True)), "history": of_row}
        path.write_text(json.dumps(result), encoding="utf-8")
    network, rival = Results(tmp_path, {}, city).runs()["validation_sprmse"]
    assert network == (7 + 5) / 2
    assert math.isnan(rival)
