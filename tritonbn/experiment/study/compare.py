"""The comparison of networks and baselines on one city."""

import warnings

import torch
from rich.console import Console

from data_prep.city import DataError
from tritonbn.experiment.networks.combinations import require_variation
from tritonbn.experiment.study.display import RunDisplay
from tritonbn.experiment.study.figures import COMPARISON, TRAINING, save_figures
from tritonbn.experiment.study.plan import Plan
from tritonbn.experiment.study.report import write_report
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.runner import make_runs
from tritonbn.experiment.study.tables import is_ablation
from tritonbn.experiment.study.workers import Workforce
from tritonbn.experiment.task.record import REFERENCE


def fill_results(
    results: Results,
    plan: Plan,
    workforce: Workforce | None,
    device: torch.device | None,
    console: Console,
) -> None:
    """Test the baselines of a plan and make its runs, where this has not been done before.

    Parameters
    ----------
    results : Results
        The results folder.
    plan : Plan
    workforce : callable or None
        Workers that make several runs at the same time; see `workforce_of`.
    device : torch.device, optional
        Default: the GPU if there is one.
    console : Console
        Where to show the progress. It names each baseline that cannot be fitted to the city, with
        the reason.

    Warns
    -----
    RuntimeWarning
        If some runs are left out, because their loss has become infinite or NaN.

    Raises
    ------
    DataError
        Before any run, if the readings hardly vary in their unit, for a network that takes small
        differences for noise.
    FloatingPointError
        If the loss of all runs of the plan has become infinite or NaN.
    """
    runs = plan.runs()
    for network, norm in dict.fromkeys((network, norm) for network, norm, *_ in runs):
        require_variation(results.city, network, norm)
    missing = [pair for pair in plan.baselines_by_protocol() if not results.has_baseline(*pair)]
    if missing:
        with RunDisplay(len(missing), console, results) as display:
            for name, protocol in missing:
                _test_baseline(results, name, protocol, display)
    configs = [
        results.config(
            network.backbone,
            norm,
            protocol,
            design=network.design,
            head=network.head,
            scaling=network.scaling,
            without=network.without,
            seed=seed,
        )
        for network, norm, protocol, seed in runs
    ]
    if configs:
        try:
            make_runs(results, configs, device, console, workforce=workforce)
        except FloatingPointError as error:
            if not any(map(results.is_finished, configs)):
                raise
            warnings.warn(f"runs are left out: {error}", RuntimeWarning, stacklevel=3)


def _test_baseline(results: Results, name: str, protocol: str, display: RunDisplay) -> None:
    label = f"{name}-{protocol}"
    display.start(label)
    try:
        row = results.baseline(name, protocol)
    except DataError as error:
        if name == REFERENCE:
            raise
        display.leave_out(label, error)
    else:
        display.finish(label, row)
        results.write_tables()


def report_comparison(results: Results) -> None:
    """Write the tables, the figures and the report of a comparison."""
    models = {row["model"] for row in results.runs().to_dict("records") if row["steps"]}
    trained = any(not is_ablation(model) for model in models)
    write_report(results, save_figures(results, (*COMPARISON, TRAINING) if trained else COMPARISON))
