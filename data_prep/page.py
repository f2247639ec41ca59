"""A description of a city as an HTML page that contains its figures."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from data_prep.city import CityData
from data_prep.describe import STATION_HEADINGS, city_facts, station_rows
from data_prep.display import station_map
from data_prep.figures import (
    CSS_PIXELS_PER_INCH,
    PNG_DPI,
    draw_calendar,
    draw_coverage,
    draw_diurnal,
)


@dataclass(frozen=True)
class _Part:
    """A figure with its texts."""

    title: str
    draw: Callable[[CityData], Figure]
    alt: str
    caption: str


_PARTS = (
    _Part(
        "Hours of the day",
        draw_diurnal,
        "Mean and quartiles of the readings at each hour of the day",
        "All readings of all stations. The hours are those of the time zone of the data.",
    ),
    _Part(
        "Days",
        draw_calendar,
        "Calendar with a row for each month, in which the colour of a day is its mean reading",
        "The mean of all readings of a day, in the time zone of the data. Grey days have none.",
    ),
    _Part(
        "Readings of each station",
        draw_coverage,
        "Number of readings of each station over time",
        "Where it is grey, a station has no readings.",
    ),
)


def page(city: CityData) -> str:
    """Describe a city on an HTML page that needs no other file.

    Parameters
    ----------
    city : CityData

    Returns
    -------
    str
        The page: what `describe` tells, a map of the stations, and figures of the readings by hour
        of the day, by day, and by station. A city without a reading has no figures.

    Examples
    --------
    >>> from data_prep import synthetic_city
    >>> from data_prep.page import page
    >>> page(synthetic_city(days=1))[:15]
    '<!doctype html>'
    """
    template = files("data_prep").joinpath("page.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        city=city,
        facts=city_facts(city),
        map=station_map(city) if len(city.stations) else "",
        figures=[_embed(part, city) for part in _PARTS] if city.observed.any() else [],
        headings=STATION_HEADINGS,
        rows=station_rows(city),
    )


def _embed(part: _Part, city: CityData) -> dict[str, str]:
    """Return a figure as the page embeds it; its width is in CSS pixels."""
    figure = part.draw(city)
    with BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": "tritonbn"})
        png = b64encode(buffer.getvalue()).decode()
    width = f"{CSS_PIXELS_PER_INCH * figure.get_figwidth():.0f}"
    texts = {"title": part.title, "alt": part.alt, "caption": part.caption}
    return {**texts, "png": png, "width": width}
