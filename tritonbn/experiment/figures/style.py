"""What all figures share: the style, a figure that notebooks show, and how it is saved."""

from io import BytesIO
from pathlib import Path

from matplotlib import figure as matplotlib_figure

from data_prep.city import CityData
from data_prep.figures import PNG_DPI as PNG_DPI
from data_prep.figures import STYLE as STYLE
from data_prep.files import atomic_path


class Figure(matplotlib_figure.Figure):
    """A Matplotlib figure that a notebook shows without ``%matplotlib inline``."""

    def _repr_png_(self) -> bytes:
        with BytesIO() as buffer:
            self.savefig(buffer, format="png", dpi=100)
            return buffer.getvalue()


def label(city: CityData) -> str:
    """Return the name of a city and its quantity, marked if the readings are synthetic."""
    note = " (synthetic)" if city.synthetic and "synthetic" not in city.name else ""
    return f"{city.quantity}, {city.name}{note}"


def unit(city: CityData) -> str:
    """Return the unit as figures show it."""
    return city.unit.replace("ug/m3", "µg/m³")


def save(figure: matplotlib_figure.Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=PNG_DPI, metadata={"Software": "tritonbn"})
