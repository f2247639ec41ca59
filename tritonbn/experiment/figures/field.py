"""The map of an estimated field."""

import numpy as np
from matplotlib import rc_context
from matplotlib.cm import ScalarMappable

from data_prep.city import CityData
from tritonbn.experiment.figures.map import COLORMAP, CityMap, common_scale
from tritonbn.experiment.figures.style import STYLE, Figure, label, unit
from tritonbn.experiment.task.arrays import BoolArray, FloatArray


def draw_field(city: CityData, time: int, field: FloatArray, held_out: BoolArray) -> Figure:
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
    """
    scale = common_scale(city, time, field, held_out)
    place = CityMap(city, time, scale, held_out)
    when = np.datetime_as_string(city.times[time], "m").replace("T", " ")
    with rc_context(STYLE):
        figure = Figure((6, 1.2 + 4.4 * place.height()), layout="constrained")
        figure.suptitle(f"{label(city)}, {when}")
        ax = figure.subplots()
        place.draw(ax, field)
        ax.set(xlabel="longitude (°)", ylabel="latitude (°)")
        figure.colorbar(
            ScalarMappable(scale, COLORMAP), ax=ax, label=f"{city.quantity} ({unit(city)})"
        )
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure
