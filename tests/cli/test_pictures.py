import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from cli_commands import TRAIN, error_of
from matplotlib.figure import Figure
from matplotlib.image import imread
from small_city import write_city

from data_prep import load_city
from tritonbn.cli import main
from tritonbn.experiment import Run, load_run


def test_heatmap_writes_a_picture_of_the_station_and_time_asked_for(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    titles = []
    savefig = Figure.savefig

    def save(figure: Figure, *arguments: object, **options: object) -> None:
        titles.append(figure.get_suptitle())
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", save)
    picture = tmp_path / "west.png"
    arguments = ["--station", "West", "--time", "2024-01-08T00:00", "--out", str(picture)]
    assert main(["heatmap", str(run), *arguments]) == 0
    assert imread(picture).shape[2] == 4
    (title,) = titles
    assert title.startswith("Station West (cell 14) is hidden")
    assert "2024-01-08 00:00" in title
    assert str(picture) in capsys.readouterr().out


def test_map_writes_what_gis_tools_open(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "field"
    place = ["--data", str(data), "--runs", str(run), "--out", str(out)]
    assert main(["map", *place, "--time", "2024-01-08T00:00"]) == 0
    assert main(["map", *place[2:], "--time", "2024-01-08T00:00"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "field.nc",
        "field.csv",
        "field_20240108T000000.png",
    }
    assert main(["map", *place, "--time", "2024-01-08", "--geotiff", "--html"]) == 0
    added = {path.name for path in out.iterdir() if path.suffix in (".tif", ".html")}
    assert added == {"field.html", "field_20240108T000000.tif"}
    assert str(out / "field.nc") in capsys.readouterr().out
    assert main(["map", "--runs", str(run), str(run), *place[4:], "--time", "2024-01-08"]) == 0
    assert "has no time 1999" in error_of(["map", *place, "--time", "1999-01-01"], capsys)


def test_map_is_the_mean_of_the_runs_at_the_readings_given(
    data: Path, out: Path, tmp_path: Path
) -> None:
    results = shutil.copytree(out, tmp_path / "results")
    assert main([*TRAIN, "--seed", "1", "--data", str(data), "--out", str(results)]) == 0
    runs = [results / "runs" / f"cnn-dense-local-paper-{seed}" for seed in (0, 1)]
    later = write_city(tmp_path / "later", start="2024-03-01", seed=1)
    time = "2024-03-01T04:00"
    place = ["--runs", *map(str, runs), "--data", str(later), "--out", str(tmp_path / "field")]
    assert main(["map", *place, "--time", time]) == 0
    city = load_city(later, grid=(6, 7))
    fields = [Run(city, run.config, run.networks).field(time) for run in map(load_run, runs)]
    with xr.open_dataset(tmp_path / "field" / "field.nc") as written:
        assert written["time"].to_numpy() == [np.datetime64(time)]
        np.testing.assert_allclose(written["field"][0], sum(fields) / 2, rtol=1e-6)


def test_map_refuses_readings_of_another_grid(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_city(data, grid=(8, 9)).save(tmp_path / "other")
    command = ["map", "--runs", run, "--time", "2024-01-08", "--out", tmp_path / "field"]
    line = error_of([*command, "--data", tmp_path / "other"], capsys)
    assert "--data must have stations, quantity and unit of the run, and its grid, 6x7" in line
    assert "was prepared for the grid (8, 9), not (6, 7)" in line
    assert not (tmp_path / "field").exists()


def test_map_refuses_runs_of_other_folders(
    out: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(out, tmp_path / "copy")
    other = tmp_path / "copy" / run.relative_to(out)
    command = ["map", "--runs", run, other, "--time", "2024-01-08", "--out", tmp_path / "f"]
    assert "the runs must belong to the same results folder" in error_of(command, capsys)
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("option", "packages"), [("--geotiff", "rioxarray"), ("--html", "folium, xstatic.pkg.leaflet")]
)
def test_map_names_what_is_not_installed_before_it_works(
    option: str,
    packages: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tritonbn.experiment.extras.find_spec", lambda name: None)
    out = tmp_path / "field"
    line = error_of(["map", "--runs", run, "--time", "2024-01-08", "--out", out, option], capsys)
    assert f"{option} needs {packages}: pip install 'tritonbn[maps]'" in line
    assert not out.exists()


def test_heatmap_is_put_beside_the_run(run: Path) -> None:
    assert main(["heatmap", str(run), "--station", "South"]) == 0
    assert (run / "heatmap_3.png").exists()
