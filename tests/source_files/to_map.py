"""From the files of a source to a map."""

from pathlib import Path

import numpy as np

from data_prep import CityData
from data_prep.cli import main
from tritonbn.experiment import train


def assert_becomes_a_map(data: str, folder: Path, *options: str) -> None:
    """Prepare a city on the command line, train a small network, and estimate a field.

    Parameters
    ----------
    data : str
        As for `data_prep.load_city`; at least 3 stations and 480 hours.
    folder : Path
        Where to save the city.
    *options : str
        Further options of the command ``prepare``.
    """
    assert main(["prepare", data, "--grid", "8x8", "--out", str(folder), *options]) == 0
    city = CityData.load(folder)
    run = train(city, "cnn", design="residual", steps=2)
    field = run.field(str(city.times[-1]))
    assert field.shape == (8, 8)
    assert np.isfinite(field).all()
