"""The commands that draw what a network estimates: heatmap and map."""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from data_prep.city import CityData, DataError
from data_prep.files import atomic_path
from data_prep.load import load_city
from tritonbn.cli.arguments import (
    Commands,
    add_command,
    device_options,
    run_options,
    station_options,
)
from tritonbn.cli.study import require_writable
from tritonbn.experiment.extras import require_maps
from tritonbn.experiment.figures.field import draw_field
from tritonbn.experiment.figures.html_map import html_map
from tritonbn.experiment.figures.style import save
from tritonbn.experiment.maps import file_stem, write_dataset, write_geotiffs
from tritonbn.experiment.study.load import open_run
from tritonbn.experiment.task.lookup import find_time
from tritonbn.experiment.views import estimate_hidden, interpolate


def add_commands(commands: Commands) -> None:
    """Add the commands to a parser."""
    heatmap = add_command(
        commands,
        "heatmap",
        _heatmap,
        "Draw the readings of one time, and the field estimated with one station hidden.",
        [run_options(), station_options()],
    )
    heatmap.add_argument(
        "--time", help="ISO 8601, as in the data (default: a typical time of the test)"
    )
    heatmap.add_argument("--out", type=Path, help="the PNG (default: in the folder of the run)")

    field = add_command(
        commands,
        "map",
        _map,
        "Write the field that a network estimates between the stations as PNG, CSV and NetCDF.",
        [device_options()],
    )
    field.add_argument(
        "--data", help="other readings of the same stations (default: those of the run)"
    )
    field.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        required=True,
        help="folder of a run; if several are given, such as all seeds, their fields are averaged",
    )
    field.add_argument(
        "--time", nargs="+", required=True, help="one or several, ISO 8601, as in the data"
    )
    field.add_argument("--out", type=Path, default=Path("map"), help="the folder (default: map)")
    field.add_argument(
        "--geotiff", action="store_true", help="write a GeoTIFF of each time as well"
    )
    field.add_argument(
        "--html",
        action="store_true",
        help="write field.html as well, an interactive map that needs no network",
    )


def _heatmap(options: argparse.Namespace, console: Console) -> None:
    if options.out is not None and options.out.suffix != ".png":
        raise DataError(f"--out must be a file that ends in .png, got {options.out}")
    _, run = open_run(options.directory, options.device)
    figure = run.heatmap(options.station, options.time)
    cell = run.city.cells[run.hidden_station(options.station)]
    out = options.out or options.directory / f"heatmap_{cell}.png"
    save(figure, out)
    console.print(f"The heatmap is {out}", soft_wrap=True)


def _map(options: argparse.Namespace, console: Console) -> None:
    require_writable(options.out)
    if options.geotiff:
        require_maps("--geotiff", "rioxarray")
    if options.html:
        require_maps("--html", "folium", "xstatic.pkg.leaflet")
    folders = dict.fromkeys(folder.resolve() for folder in options.runs)
    opened = [open_run(folder, options.device) for folder in folders]
    results, *others = (results for results, _ in opened)
    if any(other.directory.resolve() != results.directory.resolve() for other in others):
        raise DataError("the runs must belong to the same results folder")
    city = results.city
    if options.data is not None:
        city = _with_readings(city, options.data)
    times = np.unique([find_time(city, time) for time in options.time])
    networks = [network for _, run in opened for network in run.networks]
    dataset = interpolate(networks, city, times)
    written = write_dataset(dataset, options.out)
    held_out = networks[0].config.fold_of(city).held_out
    fields = dataset["field"].to_numpy()
    for time, field in zip(times, fields, strict=True):
        written.append(options.out / f"{file_stem(city.times[time])}.png")
        save(draw_field(city, int(time), field, held_out), written[-1])
    if options.geotiff:
        written += write_geotiffs(dataset, city, options.out)
    if options.html:
        estimates = estimate_hidden(networks, city, times)
        written.append(options.out / "field.html")
        with atomic_path(written[-1]) as path:
            page = html_map(city, times, fields, estimates, held_out, dataset.attrs["title"])
            path.write_text(page, encoding="utf-8")
    for path in written:
        console.print(f"Wrote {path}", soft_wrap=True)


def _with_readings(city: CityData, data: str) -> CityData:
    """Return the city of a run with other readings of its stations."""
    try:
        return city.with_readings_of(load_city(data, grid=city.grid))
    except DataError as error:
        height, width = city.grid
        raise DataError(
            f"--data must have stations, quantity and unit of the run, and its grid, "
            f"{height}x{width}: {error}"
        ) from error
