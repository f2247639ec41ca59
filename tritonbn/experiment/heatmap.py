"""The heatmap: the readings of one time, and what models make of a station they do not see."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from data_prep.city import CityData, DataError
from tritonbn.experiment.citymap import COLORMAP, PANEL_INCHES, CityMap, window_around
from tritonbn.experiment.config import NORMS, TITLES, RunConfig
from tritonbn.experiment.dataset import BoolArray, time_index
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.plots import STYLE, label, unit

CELL = 621
"""The station of the published case study: Park Spoor Noord in Antwerp."""


def find_station(city: CityData, wanted: str | None = None, run: RunConfig | None = None) -> int:
    """Find a station by its name or its cell.

    Parameters
    ----------
    city : CityData
        Where to look.
    wanted : str, optional
        Name, or number of the cell. Default: cell 621 if a station stands there, else the station
        with the most readings.
    run : RunConfig, optional
        The run that is to estimate it.

    Returns
    -------
    int
        Its row in `city.stations`.

    Raises
    ------
    DataError
        If there is no such station; the message lists those that there are. If the run has learned
        from it where it must be unseen.
    """
    if run is not None:
        absent = Fold.of(city, run).absent
        if absent.any():
            return _find_absent(city, wanted, absent)
    names = city.stations["station"].to_list()
    cells = [str(cell) for cell in city.cells]
    if wanted is None:
        most = int(city.observed.sum(axis=0).argmax())
        return cells.index(str(CELL)) if str(CELL) in cells else most
    for known in (names, cells):
        if wanted in known:
            return known.index(wanted)
    there = ", ".join(f"{cell} {name}" for cell, name in zip(cells, names, strict=True))
    raise DataError(f"no station {wanted} in {city.name}; there are (cell and name): {there}")


def _find_absent(city: CityData, wanted: str | None, absent: BoolArray) -> int:
    if wanted is None:
        return int((city.observed.sum(axis=0) * absent).argmax())
    station = find_station(city, wanted)
    if not absent[station]:
        names = ", ".join(city.stations["station"][absent])
        raise DataError(f"this fold has learned from station {wanted}; unseen are {names}")
    return station


def find_time(city: CityData, wanted: str, station: int) -> int:
    """Find a time at which a station has a reading.

    Parameters
    ----------
    city : CityData
        Where to look.
    wanted : str
        ISO 8601.
    station : int
        Row of the station.

    Raises
    ------
    DataError
        If the city has no such time, or the station has no reading then.
    """
    found = time_index(city, wanted)
    if not city.observed[found, station]:
        name = city.stations["station"].iloc[station]
        raise DataError(f"station {name} of {city.name} has no reading at {wanted}")
    return found


def typical_time(city: CityData, station: int, config: RunConfig) -> int:
    """Choose a time of the test to show by the readings alone, whatever models make of it.

    Parameters
    ----------
    city : CityData
        The readings.
    station : int
        Row of the hidden station.
    config : RunConfig
        Decides which times can be predicted.

    Returns
    -------
    int
        Among the times at which the station has a reading, and as many others as ever in the test,
        the one whose reading is the station's median; the first such.

    Raises
    ------
    DataError
        If the station has no reading in the test.
    """
    times = Fold.of(city, config).windows.times("test")
    times = times[city.observed[times, station]]
    if not len(times):
        name = city.stations["station"].iloc[station]
        raise DataError(f"station {name} has no reading in the test part of {city.name}")
    count = city.observed[times].sum(axis=1)
    times = times[count == count.max()]
    order = np.argsort(city.values[times, station], kind="stable")
    return int(times[order[(len(order) - 1) // 2]])


def draw_heatmap(
    city: CityData, time: int, station: int, fields: Mapping[RunConfig, npt.NDArray[np.float32]]
) -> Figure:
    """Draw the readings of one time and, beside them, fields estimated with one station hidden.

    Parameters
    ----------
    city : CityData
        The readings.
    time, station : int
        The index of the time, and the row of the hidden station.
    fields : mapping of RunConfig to array, shape (H, W)
        What `predict_field` returned for runs of one model and one protocol.

    Returns
    -------
    Figure
        Above the whole grid, below the cells around the hidden station; first the readings, then
        the fields. All panels share one colour scale. It starts at 0 and ends a quarter above the
        highest reading, so that a model that is far off does not take the colours from the
        readings.
    """
    run = next(iter(fields))
    scale = Normalize(0, 1.25 * float(np.nanmax(city.values[time])))
    place = CityMap(city, time, scale, Fold.of(city, run).absent, station)
    window = window_around(int(city.cells[station]), city.grid)
    when = np.datetime_as_string(city.times[time], "m").replace("T", " ")
    heights = [place.height(), place.height(window)]
    size = (1.7 + (PANEL_INCHES + 0.1) * (1 + len(fields)), 2.2 + PANEL_INCHES * sum(heights))
    with rc_context(STYLE):
        figure = Figure(size, layout="constrained")
        figure.suptitle(
            f"{_name(city, station)} is hidden and estimated\n"
            f"{label(city)}, {when}, {TITLES[run.network]}, protocol {run.protocol}"
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
        for ax, (config, field) in zip(whole[1:], fields.items(), strict=True):
            estimate = field.flat[city.cells[station]]
            ax.set_title(f"{NORMS[config.norm]}\nestimated: {estimate:.1f} {unit(city)}")
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
            extend="max",
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
