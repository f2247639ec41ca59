"""The interactive map of an estimated field, which needs no tiles from the network."""

from base64 import b64encode
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize, to_hex
from matplotlib.image import imsave

from data_prep.city import CityData
from tritonbn.experiment.extras import require_maps
from tritonbn.experiment.figures.graticule import graticule
from tritonbn.experiment.figures.map import COLORMAP, GREY, common_scale
from tritonbn.experiment.figures.style import unit
from tritonbn.experiment.task.arrays import BoolArray, FloatArray
from tritonbn.experiment.task.geography import cell_edges

if TYPE_CHECKING:
    import ipyleaflet

PIXELS_PER_CELL = 16
"""So many that a browser, which smooths pictures, shows cells with sharp edges."""


def make_map(city: CityData, time: int, field: FloatArray, held_out: BoolArray) -> "ipyleaflet.Map":
    """Make a map of the field of one time; the parameters are those of `draw_field`.

    A click on a station shows its name and its reading. An outline of the grid and lines of
    latitude and longitude take the place of a base map.

    Raises
    ------
    DataError
        If ipyleaflet is not installed (``pip install 'tritonbn[maps]'``).
    """
    require_maps("the interactive map", "ipyleaflet")
    import ipyleaflet
    from ipywidgets import HTML

    west, east, south, north = cell_edges(city)
    readings = np.where(held_out, np.nan, city.values[time])
    scale = common_scale(city, time, field, held_out)
    layers: list[Any] = [
        ipyleaflet.ImageOverlay(
            url=_picture(field, scale), bounds=((south, west), (north, east)), opacity=0.8
        ),
        ipyleaflet.Rectangle(
            bounds=((south, west), (north, east)), color=GREY, weight=2, fill=False
        ),
        *_lines(west, east, south, north),
    ]
    for station, reading in zip(city.stations.itertuples(), readings, strict=True):
        shown = "no reading" if np.isnan(reading) else f"{reading:.1f} {unit(city)}"
        color = GREY if np.isnan(reading) else to_hex(colormaps[COLORMAP](scale(reading)))
        layers.append(
            ipyleaflet.CircleMarker(
                location=(station.latitude, station.longitude),
                radius=7,
                color="white",
                weight=1,
                fill_color=color,
                fill_opacity=1,
                popup=HTML(f"{escape(str(station.station))} (cell {station.cell})<br>{shown}"),
            )
        )
    center = ((south + north) / 2, (west + east) / 2)
    shown_map = ipyleaflet.Map(
        layers=layers,
        center=center,
        zoom=12,
        scroll_wheel_zoom=True,
        attribution_control=False,
        layout={"height": "520px"},
    )
    shown_map.add(ipyleaflet.ScaleControl(position="bottomleft", imperial=False))
    shown_map.fit_bounds([[south, west], [north, east]])
    return shown_map


def _picture(field: FloatArray, scale: Normalize) -> str:
    """Return a field as the address of a PNG that contains it."""
    colors = colormaps[COLORMAP](scale(field[::-1]))
    enlarged = colors.repeat(PIXELS_PER_CELL, axis=0).repeat(PIXELS_PER_CELL, axis=1)
    with BytesIO() as buffer:
        imsave(buffer, enlarged, format="png")
        return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


def _lines(west: float, east: float, south: float, north: float) -> list[Any]:
    """Return the graticule inside the grid, with its degrees."""
    import ipyleaflet

    layers = []
    for text, line in graticule(west, east, south, north):
        icon = ipyleaflet.DivIcon(html=text, icon_size=[60, 16], bg_pos=[0, 0])
        layers += [
            ipyleaflet.Polyline(locations=line, color=GREY, weight=1, fill=False, opacity=0.6),
            ipyleaflet.Marker(location=line[0], draggable=False, icon=icon),
        ]
    return layers
