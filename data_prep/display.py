"""How a `CityData` is shown: in one line, and as HTML in a notebook."""

import numpy as np
import numpy.typing as npt
from jinja2 import Template
from markupsafe import Markup, escape

from data_prep.city import CityData

SHOWN_STATIONS = 10
MAP_PIXELS = 180
STATION_COLUMNS = ("station", "cell", "latitude", "longitude", "missing")

_ONE_LINE = {
    "stations": "{} stations",
    "times": "{} times",
    "span": "{}",
    "step": "step {}",
    "grid": "grid {}",
    "missing": "{} missing",
    "readings": "{} readings",
}
_MAP = Template(
    """\
<svg role="img" aria-label="map of the stations, north at the top" style="border: 1px solid #888"
 width="{{ width }}" height="{{ height }}" viewBox="-8 -8 {{ width }} {{ height }}">
{%- for station, x, y in points %}
<circle cx="{{ x }}" cy="{{ y }}" r="4" fill="#3b82c4"><title>{{ station }}</title></circle>
{%- endfor %}
</svg>""",
    autoescape=True,
)
_TEMPLATE = Template(
    """\
<div style="display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-start">
<table>
{%- for fact, value in facts.items() %}
<tr><th style="text-align: left">{{ fact }}</th><td style="text-align: left">{{ value }}</td></tr>
{%- endfor %}
</table>
{{ map }}
<table>
<tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr>
{%- for row in rows %}
<tr>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{%- endfor %}
{%- if more %}
<tr><td colspan="{{ columns | length }}" style="text-align: left">... {{ more }} more</td></tr>
{%- endif %}
</table>
</div>
""",
    autoescape=True,
)


def one_line(city: CityData) -> str:
    """Return the facts of a city in one line."""
    facts = _facts(city)
    parts = [text.format(facts[fact]) for fact, text in _ONE_LINE.items() if fact in facts]
    return f"<CityData {city.name}: {', '.join(parts)}>"


def html(city: CityData) -> str:
    """Return the facts of a city, a map of its stations and a table of the first ones as HTML."""
    if not city.values.size:
        return str(escape(one_line(city)))
    shown = city.stations[:SHOWN_STATIONS]
    missing = 1 - city.observed[:, :SHOWN_STATIONS].mean(axis=0)
    rows = zip(
        shown["station"],
        shown["cell"],
        shown["latitude"].map("{:.4f}".format),
        shown["longitude"].map("{:.4f}".format),
        map("{:.1%}".format, missing),
        strict=True,
    )
    page: str = _TEMPLATE.render(
        facts={"city": city.name, **_facts(city)},
        map=station_map(city),
        columns=STATION_COLUMNS,
        rows=rows,
        more=max(len(city.stations) - SHOWN_STATIONS, 0),
    )
    return page


def station_map(city: CityData) -> Markup:
    """Return a map of the stations, of which there is at least one, as SVG."""
    x, y = _positions(city)
    return Markup(
        _MAP.render(
            width=round(x.max() + 16),
            height=round(y.max() + 16),
            points=zip(city.stations["station"], x.round(1), y.round(1), strict=True),
        )
    )


def _facts(city: CityData) -> dict[str, str]:
    facts = {"quantity": f"{city.quantity} in {city.unit}"}
    if city.synthetic:
        facts["readings"] = "synthetic"
    facts |= {"stations": f"{len(city.stations)}", "times": f"{len(city.times):,}"}
    if len(city.times):
        ends = np.datetime_as_string(city.times[[0, -1]], "m")
        facts["span"] = " to ".join(end.replace("T", " ") for end in ends)
    if len(city.times) > 1 or city.interval is not None:
        facts["step"] = f"{city.step / np.timedelta64(60, 's'):g} min"
    facts["grid"] = "x".join(map(str, city.grid))
    if city.values.size:
        facts["missing"] = f"{1 - city.observed.mean():.1%}"
    return facts


def _positions(city: CityData) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the place of each station on the map in pixels, from its upper left corner."""
    latitude, longitude = (
        city.stations[column].to_numpy(np.float64) for column in ("latitude", "longitude")
    )
    x = (longitude - longitude.min()) * np.cos(np.radians(latitude.mean()))
    y = latitude.max() - latitude
    scale = MAP_PIXELS / (max(x.max(), y.max()) or 1.0)
    return scale * x, scale * y
