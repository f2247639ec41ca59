from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.image import imread

from data_prep.city import CityData
from tritonbn.experiment.figures.heatmap import draw_heatmap
from tritonbn.experiment.figures.map import COLORMAP, window_around
from tritonbn.experiment.figures.style import save
from tritonbn.experiment.task.arrays import BoolArray
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.lookup import typical_time

MakeCity = Callable[..., CityData]
TITLE = "local normalization"


def heatmap_of(
    city: CityData,
    time: int,
    station: int,
    fields: dict[str, npt.NDArray[np.float32]],
    held_out: BoolArray | None = None,
) -> Figure:
    none = np.zeros(len(city.stations), bool)
    held_out = none if held_out is None else held_out
    return draw_heatmap(city, time, station, fields, held_out, "ConvLSTM (dense), protocol paper")


def typical(city: CityData, station: int) -> int:
    return typical_time(Fold(city, "paper"), station)


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def field_of(city: CityData) -> npt.NDArray[np.float32]:
    """Another value in each cell, growing to the north and to the east."""
    height, width = city.grid
    return np.linspace(1, 40, height * width, dtype=np.float32).reshape(height, width)


def test_the_true_and_the_estimated_value_are_told_with_their_unit(city: CityData) -> None:
    time = typical(city, 1)
    field = field_of(city)
    shown = texts(heatmap_of(city, time, 1, {TITLE: field}))
    assert f"true: {city.values[time, 1]:.1f} µg/m³" in shown
    assert f"estimated: {field.flat[city.cells[1]]:.1f} µg/m³" in shown
    for fact in ("S1", f"cell {city.cells[1]}", "Testville", "ConvLSTM", "protocol paper"):
        assert fact in shown
    assert str(city.times[time])[:16].replace("T", " ") in shown
    assert "longitude (°)" in shown
    assert "PM2.5 (µg/m³)" in shown


def test_synthetic_readings_are_called_so(city: CityData) -> None:
    time = typical(city, 1)
    fields = {TITLE: field_of(city)}
    assert "synthetic" not in texts(heatmap_of(city, time, 1, fields))
    assert "synthetic" in texts(heatmap_of(replace(city, synthetic=True), time, 1, fields))


def test_stations_without_a_reading_are_marked_apart(city: CityData) -> None:
    time = int(np.flatnonzero(city.observed[:, 1] & ~city.observed.all(axis=1))[0])
    assert "station without a reading" in texts(heatmap_of(city, time, 1, {TITLE: field_of(city)}))


def test_each_station_lies_on_its_own_cell_with_north_up(city: CityData, tmp_path: Path) -> None:
    """Read the colour of the field at each station off the written picture."""
    time = typical(city, 0)
    field = field_of(city)
    figure = heatmap_of(city, time, 0, {TITLE: field})
    save(figure, tmp_path / "map.png")
    picture = imread(tmp_path / "map.png")
    ax = figure.axes[1]
    scale = 1.25 * np.nanmax(city.values[time])
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    for latitude, longitude, cell in city.stations[["latitude", "longitude", "cell"]].to_numpy():
        # a station of this city stands in the south-west corner of its cell, which shows the field
        # in the middle where the station is hidden, and else only at the edge
        part = 0.5 if cell == city.cells[0] else 0.02
        inside = np.array(
            [longitude + part * (right - left) / 6, latitude + part * (top - bottom) / 5]
        )
        x, y = ax.transData.transform(inside) * 160 / figure.dpi
        color = picture[picture.shape[0] - 1 - round(y), round(x), :3]
        expected = colormaps[COLORMAP](field.flat[int(cell)] / scale)[:3]
        np.testing.assert_allclose(color, expected, atol=0.02)


def test_a_city_whose_stations_stand_in_one_row_can_be_drawn(
    city: CityData, tmp_path: Path
) -> None:
    stations = city.stations.assign(latitude=51.2, cell=range(6, 12))
    row = replace(city, stations=stations)
    save(heatmap_of(row, typical(row, 0), 0, {TITLE: field_of(row)}), tmp_path / "a.png")
    assert imread(tmp_path / "a.png").ndim == 3


def test_held_out_stations_are_drawn_without_their_readings(make_city: MakeCity) -> None:
    city = make_city(stations=7, missing=0.0)
    held_out = Fold(city, "unseen").held_out
    those = np.flatnonzero(held_out)
    assert len(those) == 2
    figure = heatmap_of(city, 280, those[0], {TITLE: field_of(city)}, held_out)
    assert "held-out station" in texts(figure)
    for ax in figure.axes[:4]:
        colored = ax.collections[0].get_array()
        np.testing.assert_array_equal(colored, np.delete(city.values[280], those))
    for ax in (figure.axes[0], *figure.axes[2:4]):
        written = [text.get_text() for text in ax.texts]
        assert str(city.cells[those[1]]) in written
        assert not any(f"{city.values[280, those[1]]:.1f}" in text for text in written)


@pytest.mark.parametrize(
    ("cell", "grid", "rows", "columns"),
    [
        (621, (32, 32), range(14, 25), range(8, 19)),
        (0, (32, 32), range(11), range(11)),
        (32 * 31 + 29, (32, 32), range(21, 32), range(21, 32)),
        (32 * 4 + 26, (32, 32), range(11), range(21, 32)),
        (7, (5, 20), range(5), range(2, 13)),
        (13, (11, 6), range(11), range(6)),
    ],
)
def test_the_window_has_five_cells_on_each_side_and_stays_inside_the_grid(
    cell: int, grid: tuple[int, int], rows: range, columns: range
) -> None:
    assert window_around(cell, grid) == (rows, columns)


@pytest.fixture
def case(make_city: MakeCity) -> tuple[CityData, Figure]:
    """Cell 621 is hidden in three fields; of the others, three are near and one has no reading."""
    city = make_city(grid=(32, 32), missing=0)
    cells = [10, 527, 559, 560, 621, 1004]
    rows, columns = np.divmod(cells, 32)
    stations = city.stations.assign(
        cell=cells, latitude=51 + 0.01 * rows, longitude=4 + 0.01 * columns
    )
    values = city.values.copy()
    values[280] = [21.1, 22.2, 23.3, np.nan, 24.4, 25.5]
    city = replace(city, stations=stations, values=values)
    fields = {
        norm: field_of(city) + shift for shift, norm in enumerate(("none", "global", "local"))
    }
    return city, heatmap_of(city, 280, 4, fields)


def test_the_whole_grid_is_above_and_the_window_below(case: tuple[CityData, Figure]) -> None:
    _, figure = case
    whole, enlarged = figure.axes[:4], figure.axes[4:8]
    for ax in whole:
        np.testing.assert_allclose(ax.get_xlim(), (4, 4.32))
        np.testing.assert_allclose(ax.get_ylim(), (51, 51.32))
    for ax in enlarged:
        np.testing.assert_allclose(ax.get_xlim(), (4.08, 4.19))
        np.testing.assert_allclose(ax.get_ylim(), (51.14, 51.25))
    assert enlarged[0].get_title() == "Rows 14 to 24, columns 8 to 18"
    assert figure.get_figheight() < 1.2 * figure.get_figwidth()


def test_numbers_and_readings_are_written_at_the_stations(case: tuple[CityData, Figure]) -> None:
    city, figure = case
    near = {"527\n22.2", "559\n23.3", "560\nx"}
    hidden = "621\n24.4"
    written = [{text.get_text() for text in ax.texts} for ax in figure.axes[:8]]
    assert written[0] == near | {hidden, "10\n21.1", "1004\n25.5"}
    assert written[4] == near | {hidden}
    for number, texts_of_field in enumerate(written[5:]):
        estimate = field_of(city).flat[621] + number
        assert texts_of_field == near | {f"621\nest. {estimate:.1f}\ntrue 24.4"}


def test_what_is_written_covers_nothing_else_that_is_written(
    case: tuple[CityData, Figure],
) -> None:
    _, figure = case
    figure.set_dpi(160)  # as it is saved
    figure.draw_without_rendering()
    for ax in figure.axes[:8]:
        boxes = [text.get_window_extent() for text in ax.texts]
        for number, box in enumerate(boxes):
            assert box.count_overlaps(boxes[:number]) == 0


def test_what_is_written_in_a_cell_is_legible(make_city: MakeCity) -> None:
    city = make_city(grid=(11, 11), missing=0)
    values = city.values.copy()
    values[280] = [1, 2, 3, 40, 50, 60]
    city = replace(city, values=values)
    figure = heatmap_of(city, 280, 0, {TITLE: field_of(city)})
    inks = {text.get_text().split("\n")[1]: text.get_color() for text in figure.axes[2].texts}
    assert [inks[reading] for reading in ("1.0", "2.0", "3.0")] == ["black"] * 3
    assert [inks[reading] for reading in ("40.0", "50.0", "60.0")] == ["white"] * 3


def test_the_darker_the_more() -> None:
    rgb = colormaps[COLORMAP](np.linspace(0, 1, 256))[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    assert (np.diff(linear @ [0.2126, 0.7152, 0.0722]) < 0).all()
