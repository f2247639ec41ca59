"""`CityMap`: where the cells and stations of a city lie, and how they are drawn."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from data_prep.city import CityData
from tritonbn.experiment.geography import cell_axes, cell_edges

COLORMAP = "viridis"
HIDDEN_COLOR = "#D81B60"


class CityMap:
    """Where the cells and stations of a city lie, in degrees.

    Attributes
    ----------
    x, y : arrays of float, shape (S,)
        Longitude and latitude of the middle of each station's cell.
    longitudes, latitudes : arrays of float, shapes (W,) and (H,)
        Of the middle of each column and row of the grid.
    extent : (float, float, float, float)
        West, east, south and north edge of the grid.
    """

    def __init__(self, city: CityData) -> None:
        self.city = city
        self.latitudes, self.longitudes = cell_axes(city)
        rows, columns = np.divmod(city.cells, city.grid[1])
        self.x, self.y = self.longitudes[columns], self.latitudes[rows]
        self.extent = cell_edges(city)
        self.aspect = 1 / np.cos(np.radians(self.y.mean()))

    @property
    def height(self) -> float:
        """Of a panel, as a multiple of its width."""
        left, right, bottom, top = self.extent
        return float(np.clip(self.aspect * (top - bottom) / (right - left), 0.5, 2))

    def draw(
        self,
        ax: Axes,
        time: int,
        hidden: int | None,
        scale: Normalize,
        field: npt.NDArray[np.float32] | None = None,
        absent: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Draw a field, where given, and each station in the middle of its cell.

        Stations that are absent, (S,), are drawn without a reading.
        """
        readings = self.city.values[time]
        rows = np.arange(len(readings))
        unseen = np.zeros(len(rows), np.bool_) if absent is None else absent & (rows != hidden)
        missing = np.isnan(readings) & ~unseen
        seen = ~missing & ~unseen & (rows != hidden)
        colors: dict[str, Any] = {"cmap": COLORMAP, "norm": scale}
        if field is not None:
            ax.imshow(field, origin="lower", extent=self.extent, **colors)
        ax.scatter(
            self.x[seen],
            self.y[seen],
            s=40,
            c=readings[seen],
            edgecolors="white",
            linewidths=0.9,
            label="station, coloured by its reading",
            **colors,
        )
        if missing.any():
            ax.scatter(
                self.x[missing],
                self.y[missing],
                s=22,
                marker="x",
                color="grey",
                linewidths=1,
                label="station without a reading",
            )
        if unseen.any():
            self._ring(ax, unseen, 40, "none", "absent station")
        if hidden is not None:
            face = "none" if field is not None else colormaps[COLORMAP](scale(readings[hidden]))
            self._ring(ax, rows == hidden, 150, face, "hidden station")
        left, right, bottom, top = self.extent
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect=self.aspect, xlabel="longitude (°)")
        ax.set_facecolor("#EFEFEF")
        ax.locator_params(nbins=3)
        ax.ticklabel_format(useOffset=False)

    def _ring(
        self, ax: Axes, stations: npt.NDArray[np.bool_], size: float, face: Any, label: str
    ) -> None:
        ax.scatter(
            self.x[stations],
            self.y[stations],
            s=size,
            facecolors=face if isinstance(face, str) else [face],
            edgecolors=HIDDEN_COLOR,
            linewidths=size**0.5 / 5.5,
            label=label,
        )
