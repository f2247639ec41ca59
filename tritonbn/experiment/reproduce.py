"""The main job: the six models of the experiment on one city, and what there is to see of them."""

from collections.abc import Sequence
from itertools import product

import torch
from rich.console import Console

from data_prep.files import atomic_path
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.display import RunDisplay, score_tables
from tritonbn.experiment.evaluate import predict_field
from tritonbn.experiment.heatmap import draw_heatmap, find_station, typical_time
from tritonbn.experiment.plots import draw_training, save
from tritonbn.experiment.report import html_report, markdown_report
from tritonbn.experiment.results import BACKBONES, NORMS, Results
from tritonbn.experiment.train import load_run


def reproduce(
    results: Results,
    protocols: Sequence[str],
    seeds: int,
    station: str | None,
    device: torch.device | None,
    console: Console,
) -> None:
    """Make the runs that are not there yet, then write all tables and figures.

    Parameters
    ----------
    results : Results
        The folder to work in.
    protocols : sequence of str
        The first of them is shown in the heatmap.
    seeds : int
        How many: 0, 1, ...
    station : str, optional
        Hidden in the heatmap; as of `find_station`.
    device : torch.device, optional
        Default: the GPU if there is one.
    console : Console
        Where to show progress.

    Raises
    ------
    DataError
        If there is no such station, or it has no reading in the test part.
    """
    configs = [
        results.config(backbone, norm, protocol, seed)
        for protocol, seed, backbone, norm in product(protocols, range(seeds), BACKBONES, NORMS)
    ]
    shown = configs[: len(NORMS)]
    hidden = find_station(results.city, station)
    time = typical_time(results.city, hidden, shown[0])

    make_runs(results, configs, device, console)
    fields = {
        config: predict_field(
            load_run(results.run_directory(config), results.city, device=device),
            results.city,
            time,
            hidden,
        )
        for config in shown
    }
    heatmap = f"heatmap_{results.city.cells[hidden]}.png"
    save(draw_heatmap(results.city, time, hidden, fields), results.directory / heatmap)
    _write_report(results, heatmap)
    console.print(*score_tables(results.runs()), sep="\n")
    console.print(f"All of it is in {results.directory / 'report.html'}", soft_wrap=True)


def make_runs(
    results: Results, configs: Sequence[RunConfig], device: torch.device | None, console: Console
) -> None:
    """Train and test what is not finished yet, and show how far it is."""
    missing = [config for config in configs if not results.finished(config)]
    if not missing:
        console.print(f"All {len(configs)} runs are there; nothing to train.")
        return
    with RunDisplay(results, missing, console) as display:
        for config in missing:
            display.start(config)
            result = results.run(
                config, device=device, on_step=display.on_step, on_progress=display.on_progress
            )
            display.finish(config, result)


def _write_report(results: Results, heatmap: str) -> None:
    directory = results.directory
    save(draw_training(results.histories(), results.city), directory / "training.png")
    for name, table in (("results", results.runs()), ("stations", results.stations())):
        with atomic_path(directory / f"{name}.csv") as path:
            table.to_csv(path, index=False)
    images = {
        "The readings of one time of the test, and the fields that the models estimate with one "
        "station hidden. Discs are readings, the ring is the hidden station.": directory / heatmap,
        "Validation spRMSE during training.": directory / "training.png",
    }
    pages = {"table.md": markdown_report(results), "report.html": html_report(results, images)}
    for name, text in pages.items():
        with atomic_path(directory / name) as path:
            path.write_text(text, encoding="utf-8")
