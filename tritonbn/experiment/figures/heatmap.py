"""The heatmap: the readings of one time, and estimates of a station that networks do not see."""

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.cm import ScalarMappable

from data_prep.city import CityData
from tritonbn.experiment.figures.map import (
    COLORMAP,
    PANEL_INCHES,
    CityMap,
    scale_of,
    window_around,
)
from tritonbn.experiment.figures.style import STYLE, Figure, label, unit
from tritonbn.experiment.task.arrays import BoolArray, FloatArray


def draw_heatmap(
    city: CityData,
    time: int,
    station: int,
    fields: Mapping[str, FloatArray],
    held_out: BoolArray,
    subtitle: str,
) -> Figure:
    """Draw the readings of one time and, beside them, fields estimated with one station hidden.

    Parameters
    ----------
    city : CityData
        The readings.
    time, station : int
        The index of the time, and the row of the hidden station.
    fields : mapping of str to array, shape (H, W)
        Title and estimates of each field, in the unit of the readings.
    held_out : array of bool, shape (S,)
        The stations whose readings are not shown, except that of the hidden station.
    subtitle : str
        What the fields were estimated by.

    Returns
    -------
    Figure
        The upper row shows the whole grid, the lower row the cells around the hidden station; the
        first column shows the readings, the others the fields. All panels share one colour scale
        from 0 to 1.25 times the highest reading (and the lowest, if it is negative), so that a
        field with a large error does not compress the colours of the readings.
    """
    scale = scale_of(1.25 * city.values[time])
    place = CityMap(city, time, scale, held_out, station)
    window = window_around(int(city.cells[station]), city.grid)
    when = np.datetime_as_string(city.times[time], "m").replace("T", " ")
    heights = [place.height(), place.height(window)]
    size = (1.7 + (PANEL_INCHES + 0.1) * (1 + len(fields)), 2.2 + PANEL_INCHES * sum(heights))
    with rc_context(STYLE):
        figure = Figure(size, layout="constrained")
        figure.suptitle(
            f"{_name(city, station)} is hidden and estimated\n{label(city)}, {when}, {subtitle}"
        )
        whole, enlarged = figure.subplots(
            2, 1 + len(fields), sharex="row", sharey="row", height_ratios=heights
        )
        whole[0].set_title(f"Readings\ntrue: {city.values[time, station]:.1f} {unit(city)}")
        place.write_beside(whole[0])
        rows, columns = window
        enlarged[0].set_title(
            f"Rows {rows[0]} to {rows[-1]}, columns {columns[0]} to {columns[-1]}"
        )
        for ax, (title, field) in zip(whole[1:], fields.items(), strict=True):
            estimate = field.flat[city.cells[station]]
            ax.set_title(f"{title}\nestimated: {estimate:.1f} {unit(city)}")
        for above, below, shown in zip(whole, enlarged, [None, *fields.values()], strict=True):
            place.draw(above, shown)
            if window != place.everywhere:
                place.frame(above, window)
            place.draw(below, shown, window)
            place.write_inside(below, window, shown)
            below.set_xlabel("longitude (°)")
        for ax in (whole[0], enlarged[0]):
            ax.set_ylabel("latitude (°)")
        figure.colorbar(
            ScalarMappable(scale, COLORMAP),
            ax=[*whole, *enlarged],
            label=f"{city.quantity} ({unit(city)})",
            extend="both" if scale.vmin else "max",
            fraction=0.03,
            aspect=40,
            pad=0.01,
        )
        figure.legend(
            *whole[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=2 if len(fields) == 1 else 5,
            frameon=False,
        )
    return figure


def _name(city: CityData, station: int) -> str:
    row = city.stations.iloc[station]
    name = f"{row['name']}, {row['station']}" if "name" in row else row["station"]
    return f"Station {name} (cell {row['cell']})"
