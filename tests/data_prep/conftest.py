import pytest


@pytest.fixture
def tidy(tmp_path):
    """Return a folder with the tidy tables of two stations, which read in turn."""
    folder = tmp_path / "tidy"
    folder.mkdir()
    (folder / "stations.csv").write_text("station,latitude,longitude\na,1,2\nb,1.5,2.5\n")
    (folder / "readings.csv").write_text(
        "time,station,value\n2024-01-01T00:00,a,4\n2024-01-01T01:00,b,5\n"
    )
    return folder
