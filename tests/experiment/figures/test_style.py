import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from data_prep.city import CityData
from tritonbn.experiment.figures.comparison import draw_best, draw_calibration, draw_distances
from tritonbn.experiment.figures.style import Figure, save
from tritonbn.experiment.figures.training import draw_training, draw_training_panels


def best(city: CityData, ax: Axes) -> None:
    draw_best(rmse_of(city), city, {"IDW": (1.0, 0.0, 0.0), "CNN": (0.0, 0.0, 1.0)}, ax)


def distances(city: CityData, ax: Axes) -> None:
    names = city.stations["station"]
    draw_distances(rmse_of(city), pd.Series(np.arange(len(names)), names), city, ax)


def calibration(city: CityData, ax: Axes) -> None:
    readings = pd.Series(np.linspace(1.0, 40.0, 200))
    table = pd.DataFrame({"reading": readings, "estimate": readings + 1})
    draw_calibration({"IDW": table}, city, ax)


def training(city: CityData, ax: Axes | None) -> Figure:
    history = pd.DataFrame({"step": [2, 4], "stopping_sprmse": [9.0, 7.0]})
    history = history.assign(norm="local", seed=0, fold=0)
    return draw_training(history, city, {"local": "black"}, ax)


def rmse_of(city: CityData) -> pd.DataFrame:
    names = city.stations["station"]
    up = np.arange(1.0, 1 + len(names))
    return pd.DataFrame({"IDW": up, "CNN": up[::-1]}, index=pd.Index(names))


@pytest.mark.parametrize("draw", [best, distances, calibration, training])
def test_one_axes_can_be_drawn_into_a_figure_of_ones_own(
    city: CityData, draw: Callable[[CityData, Axes], object]
) -> None:
    figure = Figure((9, 4))
    left, right = figure.subplots(1, 2)
    draw(city, right)
    assert right.has_data()
    assert not left.has_data()
    assert figure.get_suptitle() == ""
    assert figure.legends == []


def test_a_training_curve_is_in_the_figure_of_its_axes_or_in_a_new_one(city: CityData) -> None:
    figure = Figure((9, 4))
    assert training(city, figure.subplots()) is figure
    new = training(city, None)
    assert new is not training(city, None)
    with io.BytesIO(new._repr_png_()) as png:
        assert imread(png).std() > 0


def test_a_notebook_shows_a_figure_without_pyplot() -> None:
    """In a process of its own, because a test beside this one may import pyplot."""
    code = """
import sys
from tritonbn.experiment.figures.style import Figure
figure = Figure((3, 2))
figure.subplots().plot([1, 2])
assert figure._repr_png_().startswith(b"\\x89PNG")
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_figure_is_saved_with_160_dots_an_inch(tmp_path: Path) -> None:
    save(Figure((3, 2)), tmp_path / "figure.png")
    assert imread(tmp_path / "figure.png").shape[:2] == (320, 480)


@pytest.mark.parametrize("scores", [(5.3, 6.7), (4.0, 18.0), (1.2, 80.0)])
def test_values_can_be_read_from_the_axes_that_training_curves_share(
    city: CityData, scores: tuple[float, float]
) -> None:
    low, high = scores
    run = {"norm": "local", "seed": 0, "fold": 0, "step": [2, 4], "protocol": "masked"}
    histories = pd.concat(
        pd.DataFrame({**run, "model": model, "stopping_sprmse": [high, low * factor]})
        for model, factor in (("cnn-dense", 1.1), ("cnn-residual", 1.0))
    )
    titles = {"cnn-dense": "CNN", "cnn-residual": "residual CNN"}
    figure = draw_training_panels(histories, city, titles, {"local": "black"})
    figure.draw_without_rendering()
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    for ax in figure.axes:
        labels = ax.get_yticklabels(which="both")
        shown = {label.get_text() for label in labels if low <= label.get_position()[1] <= high}
        assert len(shown - {""}) >= 2
