import pytest
from tidy_tables import READINGS, STATIONS


@pytest.fixture
def write(tmp_path):
    """Write the two files into a folder named `Kleinstadt` and return it."""
    folder = tmp_path / "Kleinstadt"
    folder.mkdir()

    def write(readings=READINGS, stations=STATIONS):
        (folder / "readings.csv").write_text(readings)
        (folder / "stations.csv").write_text(stations)
        return folder

    return write
