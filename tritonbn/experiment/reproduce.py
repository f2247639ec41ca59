"""The main job: the six models of the experiment on one city, and what there is to see of them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import torch
from rich.console import Console

from tritonbn.experiment.display import score_tables
from tritonbn.experiment.evaluate import predict_field
from tritonbn.experiment.folds import fold_without
from tritonbn.experiment.heatmap import draw_heatmap, find_station, typical_time
from tritonbn.experiment.plots import draw_training, save
from tritonbn.experiment.report import TRAINING_CAPTION, write_report
from tritonbn.experiment.results import Results
from tritonbn.experiment.runner import make_runs
from tritonbn.experiment.train import load_run

HEATMAP_CAPTION = (
    "The readings of one time of the test, and the fields that the models estimate with one "
    "station hidden. Squares are the cells of the stations in the colours of their readings, the "
    "outlined one is hidden; below are the cells around it, with their numbers and readings."
)


def reproduce(
    results: Results,
    protocols: Sequence[str],
    arms: Sequence[tuple[str, str]],
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
    arms : sequence of (str, str)
        Networks and norms. Those of the first network are shown in the heatmap.
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
        results.config(network, norm, protocol, seed)
        for protocol, seed, (network, norm) in product(protocols, range(seeds), arms)
    ]
    shown = [config for config in configs[: len(arms)] if config.network == arms[0][0]]
    hidden = find_station(results.city, station)
    time = typical_time(results.city, hidden, shown[0])

    make_runs(results, configs, device, console)
    fields = {}
    for config in shown:
        fold = replace(config, fold=fold_without(results.city, config.protocol, hidden))
        run = load_run(results.run_directory(fold), results.city, device=device)
        fields[fold] = predict_field(run, results.city, time, hidden)
    heatmap = f"heatmap_{results.city.cells[hidden]}.png"
    save(draw_heatmap(results.city, time, hidden, fields), results.directory / heatmap)
    save(draw_training(results.histories(), results.city), results.directory / "training.png")
    write_report(results, {heatmap: HEATMAP_CAPTION, "training.png": TRAINING_CAPTION})
    console.print(*score_tables(results.runs()), sep="\n")
    console.print(f"All of it is in {results.directory / 'report.html'}", soft_wrap=True)
