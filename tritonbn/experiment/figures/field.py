"""The map of an estimated field."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from data_prep.city import CityData
from tritonbn.experiment.figures.map import COLORMAP, CityMap, common_scale
from tritonbn.experiment.figures.style import STYLE, Figure, axes_or_new, figure_of, label, unit
from tritonbn.experiment.task.arrays import BoolArray, FloatArray


def draw_field(
    city: CityData,
    time: int,
    field: FloatArray,
    held_out: BoolArray,
    ax: Axes | None = None,
) -> Figure:
    """Draw the field of one time, and on it the readings, with one colour scale.

    Parameters
    ----------
    city : CityData
        The readings.
    time : int
        Index of the time.
    field : array of float32, shape (H, W)
        In the unit of the readings.
    held_out : array of bool, shape (S,)
        The stations whose readings are not shown.
    ax : Axes, optional
        Where to draw. Default: a new figure.
    """
    scale = common_scale(city, time, field, held_out)
    place = CityMap(city, time, scale, held_out)
    when = np.datetime_as_string(city.times[time], "m").replace("T", " ")
    with rc_context(STYLE):
        new = ax is None
        ax = axes_or_new(ax, (6, 1.2 + 4.4 * place.height()))
        figure = figure_of(ax)
        place.draw(ax, field)
        ax.set(xlabel="longitude (°)", ylabel="latitude (°)")
        title = f"{label(city)}, {when}"
        figure.colorbar(
            ScalarMappable(scale, COLORMAP), ax=ax, label=f"{city.quantity} ({unit(city)})"
        )
        if new:
            figure.suptitle(title)
            handles, labels = ax.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        else:
            ax.set_title(title)
    return figure
