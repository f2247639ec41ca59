"""The interactive map of estimated fields as one HTML file, which needs no network."""

from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize, to_hex
from matplotlib.ticker import MaxNLocator

from data_prep.city import CityData
from tritonbn.experiment.extras import require_maps
from tritonbn.experiment.figures.graticule import graticule
from tritonbn.experiment.figures.map import BACKGROUND, COLORMAP, GREY, HIDDEN_COLOR, common_scale
from tritonbn.experiment.figures.style import label, unit
from tritonbn.experiment.task.arrays import BoolArray, FloatArray, IntArray
from tritonbn.experiment.task.geography import cell_edges

if TYPE_CHECKING:
    import folium

STYLE = f"""\
.folium-map {{ background: {BACKGROUND}; }}
.cell {{ shape-rendering: crispEdges; }}
.leaflet-tooltip.degrees {{ background: none; border: none; box-shadow: none; color: #444;
  padding: 0 .2rem; }}
.leaflet-tooltip.degrees::before, .leaflet-control-scale-line + * {{ display: none; }}
.legend {{ position: absolute; right: 10px; bottom: 10px; z-index: 1000; width: 16rem;
  padding: .6rem .9rem; background: white; border-radius: 4px; box-shadow: 0 1px 5px #0006;
  font: .8rem/1.4 system-ui, sans-serif; }}
.legend .colors {{ height: .8rem; margin-top: .4rem; }}
.legend .numbers {{ position: relative; height: 1.3rem; }}
.legend .numbers span {{ position: absolute; transform: translateX(-50%); }}
.legend ul {{ margin: .3rem 0; padding: 0; list-style: none; }}
.legend li {{ display: flex; align-items: center; gap: .5rem; }}
.legend li::before {{ content: ""; width: .7rem; height: .7rem; border-radius: 50%;
  border: 2px solid white; outline: 1px solid {GREY}; background: #5ec962; }}
.legend li.missing::before {{ background: {GREY}; }}
.legend li.held-out::before {{ background: none; border-color: {HIDDEN_COLOR}; outline: none; }}
.legend p {{ margin: 0; color: #555; }}
"""

Feature = dict[str, Any]
"""Of GeoJSON."""


def html_map(
    city: CityData,
    times: IntArray,
    fields: FloatArray,
    estimates: FloatArray,
    held_out: BoolArray,
    title: str,
) -> str:
    """Make a map of one or several times, with values that show when the pointer is over them.

    An outline of the grid and lines of latitude and longitude take the place of a base map. All
    times have the same colours.

    Parameters
    ----------
    city : CityData
        The readings.
    times : array of int64, shape (T,)
        Indices of `city.times`.
    fields : array of float32, shape (T, H, W)
        In the unit of the readings.
    estimates : array of float32, shape (T, S)
        What is estimated at each station while it is hidden.
    held_out : array of bool, shape (S,)
        The stations that the networks do not know.
    title : str
        What the fields are.

    Returns
    -------
    str
        An HTML page with all that it needs.

    Raises
    ------
    DataError
        If folium or XStatic-Leaflet is not installed (``pip install 'tritonbn[maps]'``).
    """
    require_maps("the HTML map", "folium", "xstatic.pkg.leaflet")
    import folium

    west, east, south, north = cell_edges(city)
    shown = folium.Map(
        ((south + north) / 2, (west + east) / 2),
        tiles=None,
        attribution_control=False,
        control_scale=True,
        font_size="0.8rem",
        zoom_snap=0.25,
    )
    shown.default_js, shown.default_css = [], []  # links to servers
    scale = common_scale(city, times, fields, held_out)
    for row, time in enumerate(times):
        when = _when(city, time)
        layer = folium.FeatureGroup(when, overlay=False, show=row == 0).add_to(shown)
        folium.GeoJson(
            _collection(_cells(city, fields[row], scale)),
            tooltip=folium.GeoJsonTooltip(["field"], [when]),
            stroke=False,
            fill_opacity=0.8,
            class_name="cell",
        ).add_to(layer)
        readings = _readings(city, int(time), estimates[row], held_out, scale)
        folium.GeoJson(
            _collection(readings),
            marker=folium.CircleMarker(radius=8, weight=2, fill=True, fill_opacity=1),
            tooltip=folium.GeoJsonTooltip(["station", "time", "estimated", "measured"]),
        ).add_to(layer)
    _add_lines(shown, (west, east, south, north))
    shown.fit_bounds([(south, west), (north, east)], padding=(60, 60))
    if len(times) > 1:
        folium.LayerControl(collapsed=False).add_to(shown)
    page = shown.get_root()
    assert isinstance(page, folium.Figure)
    page.title = _text(title)
    page.header.add_child(folium.Element(_head()), name="leaflet")
    page.html.add_child(folium.Element(_legend(city, times, scale, held_out)))
    return page.render()


def _cells(city: CityData, field: FloatArray, scale: Normalize) -> Iterator[Feature]:
    """Yield each cell with its value."""
    west, east, south, north = cell_edges(city)
    latitudes = np.linspace(south, north, city.grid[0] + 1).round(6).tolist()
    longitudes = np.linspace(west, east, city.grid[1] + 1).round(6).tolist()
    colors = colormaps[COLORMAP](scale(field))
    for row, (low, high) in enumerate(pairwise(latitudes)):
        for column, (left, right) in enumerate(pairwise(longitudes)):
            ring = [[left, low], [right, low], [right, high], [left, high], [left, low]]
            value = _value(field[row, column], city)
            known = not np.isnan(field[row, column])
            style = {"fillColor": to_hex(colors[row, column]) if known else GREY}
            yield _feature("Polygon", [ring], style, field=value)


def _readings(
    city: CityData, time: int, estimates: FloatArray, held_out: BoolArray, scale: Normalize
) -> Iterator[Feature]:
    """Yield each station with its estimate and its reading."""
    when = _when(city, time)
    for station, estimate, reading, out in zip(
        city.stations.itertuples(), estimates, city.values[time], held_out, strict=True
    ):
        color = GREY if np.isnan(reading) else to_hex(colormaps[COLORMAP](scale(reading)))
        style: dict[str, Any] = {"color": "white", "fillColor": color}
        if out:  # still filled, or only its edge would notice the pointer
            style = {"color": HIDDEN_COLOR, "fillOpacity": 0}
        yield _feature(
            "Point",
            [station.longitude, station.latitude],
            style,
            station=_text(f"{station.station} (cell {station.cell})"),
            time=when,
            estimated=_value(estimate, city),
            measured=_value(reading, city),
        )


def _feature(kind: str, coordinates: Any, style: dict[str, Any], **values: str) -> Feature:
    """Return a GeoJSON feature with values and a style."""
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {**values, "style": style},
    }


def _collection(features: Iterator[Feature]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def _add_lines(shown: "folium.Map", edges: tuple[float, float, float, float]) -> None:
    """Add the outline of the grid, and lines of latitude and longitude with their degrees."""
    import folium

    west, east, south, north = edges
    outline = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    lines = [outline]
    for text, ends in graticule(*edges):
        lines.append([(longitude, latitude) for latitude, longitude in ends])
        outside = "left" if ends[0][1] == west else "bottom"
        degrees = folium.Tooltip(text, permanent=True, direction=outside, class_name="degrees")
        folium.CircleMarker(ends[0], radius=0, stroke=False, tooltip=degrees).add_to(shown)
    folium.map.CustomPane("lines", z_index=450).add_to(shown)  # above the cells of any time
    folium.GeoJson(
        {"type": "MultiLineString", "coordinates": lines},
        control=False,
        pane="lines",
        interactive=False,
        color=GREY,
        weight=1,
    ).add_to(shown)


def _head() -> str:
    """Return the style of the page, and Leaflet in the version that folium asks for."""
    from xstatic.pkg import leaflet

    folder = Path(leaflet.BASE_DIR)
    css, script = (
        (folder / f"leaflet.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js")
    )
    return f"<style>\n{css}\n{STYLE}</style>\n<script>\n{script}\n</script>"


def _legend(city: CityData, times: IntArray, scale: Normalize, held_out: BoolArray) -> str:
    """Return the box with the quantity, the colours, and what the circles mean."""
    colors = ", ".join(to_hex(color) for color in colormaps[COLORMAP](np.linspace(0, 1, 17)))
    lowest, highest = float(scale.vmin or 0), float(scale.vmax or 0)
    length = highest - lowest or 1.0
    ticks = MaxNLocator(4).tick_values(lowest, lowest + length)
    shares = {tick: (tick - lowest) / length for tick in ticks}
    numbers = "".join(
        f'<span style="left: {100 * share:.1f}%">{tick:g}</span>'
        for tick, share in shares.items()
        if 0 <= share <= 1
    )
    circles = {"": "station, coloured by its reading"}
    if np.isnan(city.values[times]).any():
        circles["missing"] = "station without a reading"
    if held_out.any():
        circles["held-out"] = "held-out station"
    key = "".join(f'<li class="{kind}">{text}</li>' for kind, text in circles.items())
    when = f"<div>{_when(city, times[0])}</div>" if len(times) == 1 else ""
    return (
        f'<div class="legend"><b>{_text(label(city))}</b> ({_text(unit(city))}){when}'
        f'<div class="colors" style="background: linear-gradient(to right, {colors})"></div>'
        f'<div class="numbers">{numbers}</div><ul>{key}</ul>'
        "<p>An estimate uses the readings of the other stations only. Times are in the time zone "
        "of the data.</p></div>"
    )


def _when(city: CityData, time: int) -> str:
    return str(city.times[time]).replace("T", " ").removesuffix(":00")


def _value(value: float, city: CityData) -> str:
    return "none" if np.isnan(value) else _text(f"{value:.1f} {unit(city)}")


def _text(text: str) -> str:
    """Escape a text for HTML that folium takes as a template of Jinja."""
    return escape(text).replace("{", "&#123;")
