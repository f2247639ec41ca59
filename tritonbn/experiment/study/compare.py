"""The comparison of networks and baselines on one city."""

import warnings

import torch
from rich.console import Console

from data_prep.city import DataError
from tritonbn.experiment.networks.combinations import require_variation
from tritonbn.experiment.study.display import RunDisplay
from tritonbn.experiment.study.figures import COMPARISON, TRAINING, save_figures
from tritonbn.experiment.study.plan import Plan
from tritonbn.experiment.study.prepare import require_scale
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
        Where to show the progress.

    Warns
    -----
    RuntimeWarning
        If a baseline is left out, because it cannot be fitted to the city, or a run, because its
        loss has become infinite or NaN.

    Raises
    ------
    ConfigError
        Before any run, if a setting is not allowed for one of them.
    DataError
        Before any run, if the readings hardly vary in their unit, for a network that takes small
        differences for noise, or cannot be scaled.
    FloatingPointError
        If the loss of all runs of the plan has become infinite or NaN.
    """
    configs = plan.configs(results.preset, results.settings)
    for network, norm in dict.fromkeys((config.network, config.norm) for config in configs):
        require_variation(results.city, network, norm)
    for config in {(config.protocol, config.scaling): config for config in configs}.values():
        require_scale(results.city, config)
    references = [(REFERENCE, protocol) for protocol in plan.protocols]
    baselines = dict.fromkeys([*references, *plan.baselines_by_protocol()])
    missing = [pair for pair in baselines if not results.has_baseline(*pair)]
    if missing:
        with RunDisplay(len(missing), console, results) as display:
            for name, protocol in missing:
                _test_baseline(results, name, protocol, display)
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
        display.give_up(label)
        warnings.warn(f"{label} is left out: {error}", RuntimeWarning, stacklevel=4)
    else:
        display.finish(label, row)
        results.write_tables()


def report_comparison(results: Results) -> None:
    """Write the tables, the figures and the report of a comparison."""
    models = {row["model"] for row in results.runs().to_dict("records") if row["steps"]}
    trained = any(not is_ablation(model) for model in models)
    write_report(results, save_figures(results, (*COMPARISON, TRAINING) if trained else COMPARISON))
