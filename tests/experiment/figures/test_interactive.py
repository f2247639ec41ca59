"""The interactive map shows the field and the readings, and asks for nothing from the network."""

import base64
from io import BytesIO

import ipyleaflet
import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.image import imread

from data_prep import DataError, load_city
from tritonbn.experiment import extras
from tritonbn.experiment.figures import interactive
from tritonbn.experiment.task.geography import cell_edges


@pytest.fixture(scope="module")
def city():
    return load_city("synthetic", days=1, grid=(8, 8))


@pytest.fixture(scope="module")
def field():
    return np.linspace(1, 640, 64, dtype=np.float32).reshape(8, 8)  # row 0 is in the south


@pytest.fixture(scope="module")
def shown(city, field):
    held_out = np.arange(len(city.stations)) == 0
    return interactive.make_map(city, 30, field, held_out)


def layers(shown, kind):
    return [layer for layer in shown.layers if type(layer) is kind]


def test_the_picture_shows_every_cell_with_north_at_the_top(shown, city, field):
    (overlay,) = layers(shown, ipyleaflet.ImageOverlay)
    west, east, south, north = cell_edges(city)
    assert [*overlay.bounds] == [(south, west), (north, east)]
    encoded = overlay.url.removeprefix("data:image/png;base64,")
    picture = imread(BytesIO(base64.b64decode(encoded)))
    centres = picture[8::16, 8::16]
    expected = colormaps["viridis_r"](field[::-1] / field.max())
    np.testing.assert_allclose(centres, expected, atol=1 / 255)


def test_a_click_shows_the_reading_unless_it_is_missing_or_held_out(shown, city):
    markers = layers(shown, ipyleaflet.CircleMarker)
    assert [marker.location for marker in markers] == [
        [*place] for place in city.stations[["latitude", "longitude"]].to_numpy()
    ]
    for row, marker in enumerate(markers):
        reading = city.values[30, row]
        text = "no reading" if row == 0 or np.isnan(reading) else f"{reading:.1f} µg/m³"
        assert marker.popup.value.endswith(f"<br>{text}")
        assert city.stations["station"].iloc[row] in marker.popup.value


def test_no_tiles_are_asked_for_and_the_grid_is_outlined(shown, city):
    assert not [layer for layer in shown.layers if isinstance(layer, ipyleaflet.TileLayer)]
    west, east, south, north = cell_edges(city)
    (outline,) = layers(shown, ipyleaflet.Rectangle)
    assert [*outline.bounds] == [(south, west), (north, east)]
    for line in layers(shown, ipyleaflet.Polyline):
        for latitude, longitude in line.locations:
            assert south <= latitude <= north
            assert west <= longitude <= east
    labels = [marker.icon.html for marker in layers(shown, ipyleaflet.Marker)]
    assert "51.2° N" in labels
    assert len(labels) == len(layers(shown, ipyleaflet.Polyline)) >= 4


def test_degrees_in_the_south_and_the_west(city, field, monkeypatch):
    monkeypatch.setattr(interactive, "cell_edges", lambda city: (-99.5, -98.5, -51.5, -50.5))
    mirrored = interactive.make_map(city, 30, field, np.zeros(len(city.stations), dtype=bool))
    labels = {marker.icon.html for marker in layers(mirrored, ipyleaflet.Marker)}
    assert {"99° W", "51° S"} <= labels


def test_without_ipyleaflet_the_error_names_the_extra(city, field, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"needs ipyleaflet: pip install 'tritonbn\[maps\]'"):
        interactive.make_map(city, 30, field, np.zeros(len(city.stations), dtype=bool))
