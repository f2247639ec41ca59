"""The published comparison: six networks on one city, with a heatmap of a hidden station."""

import torch
from rich.console import Console

from data_prep.city import DataError
from tritonbn.experiment.figures.style import save
from tritonbn.experiment.networks.folds import fold_directory, folds_of
from tritonbn.experiment.networks.trained import load_network
from tritonbn.experiment.study.compare import fill_results
from tritonbn.experiment.study.figures import TRAINING, save_figures
from tritonbn.experiment.study.plan import Plan
from tritonbn.experiment.study.report import write_report
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.workers import Workforce
from tritonbn.experiment.task.folds import MIN_TRAINING_READINGS
from tritonbn.experiment.task.lookup import find_station, typical_time
from tritonbn.experiment.views import heatmap

HEATMAP_CAPTION = (
    "The readings of one time of the test, and the fields that the networks estimate with one "
    "station hidden. Squares are the cells of the stations, coloured by their readings; the "
    "outlined one is hidden. The lower row shows the cells around it, with cell numbers and "
    "readings."
)


def reproduce(
    results: Results,
    plan: Plan,
    station: str | int | None,
    workforce: Workforce | None,
    device: torch.device | None,
    console: Console,
) -> None:
    """Make the runs of a plan, and write tables, heatmap, training curves and report.

    Parameters
    ----------
    results : Results
        The results folder.
    plan : Plan
        The heatmap shows the norms of its first network under its first protocol, without those
        that diverged.
    station : str or int, optional
        Hidden in the heatmap: a name or a cell number. Default: cell 621 if a station stands there,
        else the station with the most readings.
    workforce : callable or None
        Workers that make several runs at the same time; see `workforce_of`.
    device : torch.device, optional
        Default: the GPU if there is one.
    console : Console
        Where to show the progress.

    Raises
    ------
    DataError
        Before any run, if there is no such station, it has no reading in the test, or too few in
        the training part.
    """
    row = find_station(results.city, station)
    network, protocol = plan.networks[0], plan.protocols[0]
    shown = []
    for norm in plan.norms:
        config = results.config(norm=norm, protocol=protocol, **vars(network))
        folds = [fold for fold in folds_of(config) if fold.fold_of(results.city).tested[row]]
        if not folds:
            raise DataError(
                f"station {results.city.stations['station'].iloc[row]} of {results.city.name} has "
                f"fewer than {MIN_TRAINING_READINGS} readings in the training part, so it is not "
                "estimated; choose another station"
            )
        shown.append(folds[0])
    time = typical_time(shown[0].fold_of(results.city), row)

    fill_results(results, plan, workforce, device, console)
    networks = [
        load_network(fold_directory(results.run_directory(fold), fold), results.city, device)
        for fold in shown
        if results.is_finished(fold)
    ]
    captions = save_figures(results, (TRAINING,))
    if networks:
        name = f"heatmap_{results.city.cells[row]}.png"
        save(heatmap(networks, results.city, time, row), results.directory / name)
        captions = {name: HEATMAP_CAPTION, **captions}
    write_report(results, captions)
