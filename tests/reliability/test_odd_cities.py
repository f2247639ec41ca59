"""No warning of another library reaches the user, however odd the readings are."""

import warnings
from pathlib import Path

import pytest
from reliability.odd_cities import ODD
from small_city import TINY

from data_prep import DataError
from tritonbn.experiment import compare

SIZES = TINY | {"validation_times": 4}
REFUSED = {
    "identical positions": "have the same position",
    "constant": "needs two different readings",
    "zero": "needs two different readings",
    "mostly missing": "has too few readings",
    "near the largest number": "has a reading of 1.8e.38",
    "largest number once": "has a reading of 3.4e.38",
    "two stations": "at least two others",
}


@pytest.mark.parametrize("odd", ODD)
def test_a_comparison_ends_with_scores_or_one_error_and_without_a_warning(
    odd: str, tmp_path: Path
) -> None:
    pytest.importorskip("gstools")
    city = ODD[odd]()

    def run() -> int:
        protocol = "masked" if len(city.stations) < 5 else "unseen"
        choices = {"backbones": ["cnn"], "norms": ["local"], "protocols": [protocol]}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "kriging-.* is left out")
            return len(
                compare(city, **choices, seeds=1, directory=tmp_path, progress=False, **SIZES)
            )

    if odd in REFUSED:
        with pytest.raises(DataError, match=REFUSED[odd]):
            run()
    else:
        assert run() > 5
