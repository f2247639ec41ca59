"""The comparison: networks and rivals on one city, under several protocols and seeds."""

from collections.abc import Sequence

import torch
from rich.console import Console

from data_prep.city import DataError
from tritonbn.experiment.baselines import rivals_of
from tritonbn.experiment.comparison_plots import draw_calibration, draw_distances, draw_winners
from tritonbn.experiment.config import RunConfig, lacks_of
from tritonbn.experiment.display import RunDisplay, score_tables
from tritonbn.experiment.plots import draw_training, save
from tritonbn.experiment.report import TRAINING_CAPTION, write_report
from tritonbn.experiment.results import REFERENCE, Results
from tritonbn.experiment.runner import make_runs

FIGURES = {
    "winners": (draw_winners, "The network or rival of the lowest RMSE at each station."),
    "distance": (
        draw_distances,
        "The RMSE at each station against the distance to the nearest station that it is "
        "estimated from.",
    ),
    "calibration": (
        draw_calibration,
        "Readings against estimates of the network that validation chooses, and of IDW.",
    ),
}
"""Name, function and caption of each figure."""


def compare(
    results: Results,
    protocols: Sequence[str],
    configs: Sequence[RunConfig],
    rivals: Sequence[str],
    jobs: int,
    device: torch.device | None,
    console: Console,
) -> None:
    """Make the runs that are not there yet, test the rivals, and write all tables and figures.

    Parameters
    ----------
    results : Results
        The folder to work in.
    protocols : sequence of str
    configs : sequence of RunConfig
        The runs wanted, of those protocols.
    rivals : sequence of str
        Keys of `tritonbn.experiment.rivals.RIVALS`, to be tested under each protocol that allows
        them. One that cannot be fitted to the city is left out, with a line that says why.
    jobs : int
        How many runs at a time.
    device : torch.device, optional
        Default: the GPU if there is one.
    console : Console
        Where to show progress.
    """
    _test_rivals(results, protocols, rivals, console)
    make_runs(results, configs, device, console, jobs)
    images: dict[str, str] = {}
    for name, (draw, caption) in FIGURES.items():
        save(draw(results), results.directory / f"{name}.png")
        images[f"{name}.png"] = caption
    if any(not lacks_of(config.model) for config in configs):
        save(draw_training(results.histories(), results.city), results.directory / "training.png")
        images["training.png"] = TRAINING_CAPTION
    write_report(results, images)
    console.print(*score_tables(results.runs()), sep="\n")
    console.print(f"All of it is in {results.directory / 'report.html'}", soft_wrap=True)


def _test_rivals(
    results: Results, protocols: Sequence[str], rivals: Sequence[str], console: Console
) -> None:
    wanted = [
        (name, protocol)
        for protocol in protocols
        for name in rivals_of(protocol)
        if name in rivals and not results.has_rival(name, protocol)
    ]
    if not wanted:
        return
    with RunDisplay(results, len(wanted), console) as display:
        for name, protocol in wanted:
            display.start(f"{name}-{protocol}")
            try:
                row = results.rival(name, protocol)
            except DataError as error:
                if name == REFERENCE:
                    raise
                display.leave_out(f"{name}-{protocol}", error)
            else:
                display.finish(f"{name}-{protocol}", row)
                results.write_tables()
