"""`CityMap`: draws the stations of a city at one time in their cells, with labels."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.patheffects import AbstractPathEffect, withStroke

from data_prep.city import CityData
from tritonbn.experiment.task.arrays import BoolArray, DoubleArray, FloatArray, IntArray
from tritonbn.experiment.task.geography import cell_edges

COLORMAP = "viridis_r"
"""Of all maps; darker colours are higher readings."""

HIDDEN_COLOR = "#D81B60"
BACKGROUND = "#EFEFEF"
GREY = "#808080"

PANEL_INCHES = 3.5
"""Width of a panel with labels."""

WINDOW_RADIUS = 5
"""Cells that a window shows on each side of its centre."""

Window = tuple[range, range]
"""Rows and columns of the grid."""


def window_around(cell: int, grid: tuple[int, int]) -> Window:
    """Return the rows and columns around a cell, shifted so that they lie inside the grid."""
    rows, columns = (
        range(count)[max(0, min(index - WINDOW_RADIUS, count - 2 * WINDOW_RADIUS - 1)) :][
            : 2 * WINDOW_RADIUS + 1
        ]
        for index, count in zip(divmod(cell, grid[1]), grid, strict=True)
    )
    return rows, columns


def common_scale(
    city: CityData, time: int | IntArray, field: FloatArray, held_out: BoolArray
) -> Normalize:
    """Return the colour scale of one or several fields and of the readings on them."""
    readings = city.values[time][..., ~held_out]
    return scale_of(np.append(readings, field))


def scale_of(values: FloatArray) -> Normalize:
    """Return a colour scale that contains 0 and all values."""
    return Normalize(min(0.0, float(np.nanmin(values))), max(0.0, float(np.nanmax(values))))


class CityMap:
    """The stations of a city at one time.

    Parameters
    ----------
    city : CityData
        The readings.
    time : int
        Index of the time.
    scale : Normalize
        From readings to the colours of `COLORMAP`.
    held_out : array of bool, shape (S,)
        The stations whose readings are not shown, except that of the hidden station.
    hidden : int, optional
        Row of the station that is estimated.
    """

    def __init__(
        self,
        city: CityData,
        time: int,
        scale: Normalize,
        held_out: BoolArray,
        hidden: int | None = None,
    ) -> None:
        self.cells = city.cells
        self.scale = scale
        self.hidden = np.arange(len(held_out)) == hidden
        self.held_out = held_out & ~self.hidden
        self.readings = np.where(self.held_out, np.nan, city.values[time])
        self.missing = np.isnan(self.readings) & ~self.held_out
        self.seen = ~(self.hidden | self.held_out | self.missing)
        self.places = np.stack(np.divmod(city.cells, city.grid[1])[::-1], 1).astype(np.float64)
        self.everywhere: Window = (range(city.grid[0]), range(city.grid[1]))
        west, east, south, north = cell_edges(city)
        self.corner = np.array([west, south])
        self.cell_size = np.array([(east - west) / city.grid[1], (north - south) / city.grid[0]])
        self.aspect = 1 / np.cos(np.radians(city.stations["latitude"].mean()))

    def edges(self, window: Window) -> tuple[float, float, float, float]:
        """Return the west, east, south and north edge of a window, in degrees."""
        rows, columns = window
        first, last = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]])
        (left, bottom), (right, top) = self._degrees(first - 0.5), self._degrees(last + 0.5)
        return float(left), float(right), float(bottom), float(top)

    def height(self, window: Window | None = None) -> float:
        """Return the height of a panel as a multiple of its width."""
        left, right, bottom, top = self.edges(window or self.everywhere)
        return float(np.clip(self.aspect * (top - bottom) / (right - left), 0.5, 2))

    def draw(self, ax: Axes, field: FloatArray | None = None, window: Window | None = None) -> None:
        """Draw a field, if one is given, and on it the cells of the stations."""
        if field is not None:
            extent = self.edges(self.everywhere)
            ax.imshow(field, origin="lower", extent=extent, cmap=COLORMAP, norm=self.scale)
        self._draw_cells(ax, self.seen, "white", 0.9, True, "station, coloured by its reading")
        if self.missing.any() and window is None:  # windows have labels instead
            x, y = self._degrees(self.places[self.missing]).T
            name = "station without a reading"
            ax.scatter(
                x, y, s=22, marker="x", color="grey", lw=1, path_effects=_halo(2), label=name
            )
        self._draw_cells(ax, self.held_out, HIDDEN_COLOR, 1, False, "held-out station")
        self._draw_cells(ax, self.hidden, HIDDEN_COLOR, 2, field is None, "hidden station")
        left, right, bottom, top = self.edges(window or self.everywhere)
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect=self.aspect, facecolor=BACKGROUND)
        ax.locator_params(nbins=3)
        ax.ticklabel_format(useOffset=False)

    def frame(self, ax: Axes, window: Window) -> None:
        """Draw the edge of a window."""
        left, right, bottom, top = self.edges(window)
        x, y = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
        ax.plot(x, y, color="black", lw=1, path_effects=_halo(2), label="enlarged below")

    def write_beside(self, ax: Axes) -> None:
        """Write cell number and reading beside the cell of each station, where there is space."""
        size = self._label_size(6, 4, 2, self.everywhere)
        labels = np.full_like(self.places, np.inf)
        # several passes, as labels push each other aside
        for station in [*np.argsort(self.cells)] * 4:
            taken = np.concatenate(
                [np.delete(self.places, station, 0), np.delete(labels, station, 0)]
            )
            sizes = np.repeat([[1.3, 1.3], size], len(self.places) - 1, 0)
            labels[station] = _beside(self.places[station], size, taken, sizes, self.everywhere)
        for station, label in enumerate(labels):
            x, y = self._degrees(np.stack([self.places[station], label])).T
            ax.plot(x, y, color="grey", lw=0.4, zorder=0)
            halo = _halo(2, BACKGROUND)
            self._write(ax, label, self._text(station), size=6, path_effects=halo)

    def write_inside(self, ax: Axes, window: Window, field: FloatArray | None = None) -> None:
        """Write cell number and reading into the cells of the stations of a window.

        With a field, the hidden station has a label beside it with its estimate as well.
        """
        rows, columns = window
        for station, place in enumerate(self.places):
            if place[0] not in columns or place[1] not in rows:
                continue
            if field is None or not self.hidden[station]:
                ink = self._ink(station, field)
                self._write(ax, place, self._text(station), size=8, color=ink)
                continue
            text = (
                f"{self.cells[station]}\n"
                f"est. {field.flat[self.cells[station]]:.1f}\n"
                f"true {self.readings[station]:.1f}"
            )
            size = self._label_size(8, 10, 4, window)
            label = _beside(place, size, self.places, np.ones(2), window)
            box = {"facecolor": "white", "edgecolor": HIDDEN_COLOR, "boxstyle": "round,pad=0.2"}
            self._write(ax, label, text, size=8, bbox=box)

    def _degrees(self, places: DoubleArray) -> DoubleArray:
        """Return the degrees of (column, row) positions; integers are the centres of cells."""
        return np.asarray(self.corner + (places + 0.5) * self.cell_size, np.float64)

    def _write(self, ax: Axes, place: DoubleArray, text: str, **style: Any) -> None:
        x, y = self._degrees(place)
        ax.text(x, y, text, ha="center", va="center", linespacing=1, **style)

    def _draw_cells(
        self, ax: Axes, stations: BoolArray, edge: str, line: float, filled: bool, name: str
    ) -> None:
        if not stations.any():
            return
        corners = np.array([[-0.45, -0.45], [0.45, -0.45], [0.45, 0.45], [-0.45, 0.45]])
        squares = PolyCollection(
            list(self._degrees(self.places[stations, None] + corners)),
            edgecolors=edge,
            linewidths=line,
            path_effects=_halo(line + 1.4) if edge != "white" else None,
            cmap=COLORMAP,
            norm=self.scale,
            label=name,
        )
        if filled:
            squares.set_array(self.readings[stations])
            squares.update_scalarmappable()  # or the legend has another colour
        else:
            squares.set_facecolor("none")
        ax.add_collection(squares)

    def _text(self, station: int) -> str:
        """Return the label of a station: cell number and, unless it is held out, reading."""
        if self.held_out[station]:
            return str(self.cells[station])
        reading = "x" if self.missing[station] else f"{self.readings[station]:.1f}"
        return f"{self.cells[station]}\n{reading}"

    def _ink(self, station: int, field: FloatArray | None) -> str:
        """Return black or white, whichever has more contrast on the cell of a station."""
        value = self.readings[station]
        if np.isnan(value):
            if field is None:
                return "black"  # on the background
            value = field.flat[self.cells[station]]
        rgb = np.array(colormaps[COLORMAP](self.scale(value))[:3])
        luminance = rgb**2.2 @ [0.2126, 0.7152, 0.0722]
        return "black" if luminance > 0.25 else "white"

    def _label_size(self, font: float, letters: int, lines: int, window: Window) -> DoubleArray:
        """Return width and height of a label, in cells of a panel that shows a window."""
        rows, columns = window
        points = 72 * PANEL_INCHES * np.array([1, self.height(window)])
        return font * np.array([0.6 * letters, lines]) * [len(columns), len(rows)] / points


def _halo(width: float, color: str = "white") -> list[AbstractPathEffect]:
    return [withStroke(linewidth=width, foreground=color)]


def _beside(
    place: DoubleArray,
    size: DoubleArray,
    taken: DoubleArray,
    sizes: DoubleArray,
    window: Window,
) -> DoubleArray:
    """Return the centre of a label beside a cell, where it overlaps least; in cells."""
    steps = np.array([0, 0.5, -0.5, 1, -1])
    around = np.stack(np.meshgrid(steps, steps[::-1]), -1).reshape(-1, 2)
    around = around[np.abs(around).max(axis=1) == 1]
    near, far = (place + around * (gap + size / 2) for gap in (0.6, 1.5))
    middles = np.concatenate([near, far])
    shared = (size + sizes) / 2 - np.abs(middles[:, None] - taken)
    covered = shared.clip(0).prod(axis=2).sum(axis=1)
    rows, columns = window
    low, high = np.array([columns[0], rows[0]]) - 0.5, np.array([columns[-1], rows[-1]]) + 0.5
    outside = np.maximum(low - middles + size / 2, middles + size / 2 - high).clip(0).sum(axis=1)
    distant = np.arange(len(middles)) >= len(near)
    cost = covered + 9 * outside + 0.2 * distant
    return np.asarray(middles[np.argmin(cost)], np.float64)
