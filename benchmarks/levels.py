"""Measure whether levels of segments improve the networks of the experiment.

    python benchmarks/levels.py DATA RESULTS [--grid HEIGHTxWIDTH] [--only CASE ...]

DATA is the same as for `tritonbn train --data`. RESULTS receives one results folder for each share
of the training hours and each tau; `python docs/tables.py collect` joins those of one share into a
table. The same command resumes the work after an interruption. For each case, in the order of
`CASES`:

1. The norms without levels are trained with five seeds.
2. Those with levels are trained with two seeds for each tau in `TAUS`, and with five for the tau
   that has the lowest mean score in the validation part.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console

from data_prep.city import CityData, DataError
from data_prep.files import only_writer
from data_prep.load import load_city
from data_prep.options import grid
from tritonbn.experiment.networks.network import Network
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.study.prepare import open_results
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.runner import make_runs
from tritonbn.experiment.task.parts import DEFAULT_PARTS

SEEDS = 5
SEEDS_OF_CHOICE = 2
TAUS = (10.0, 100.0, 1000.0)
SCORED_TIMES = 480
HOURS = {"all": DEFAULT_PARTS, "half": "3:3:2:2", "quarter": "9:3:4:4"}
"""The parts for each share of the training hours."""

NETWORKS = ("cnn-residual", "cnn-dense", "cnn-convolution")
WITHOUT_LEVELS = ("none", "global", "local")


@dataclass(frozen=True)
class Case:
    """One network under one protocol, with a share of the training hours, and its norms."""

    protocol: str
    network: str
    hours: str = "all"
    norms: tuple[str, ...] = (*WITHOUT_LEVELS, "pooled")

    @property
    def name(self) -> str:
        """The name for `--only`: protocol, network, hours if not all, norm if there is one."""
        more = [self.hours] * (self.hours != "all") + [*self.norms] * (len(self.norms) == 1)
        return "/".join([self.protocol, self.network, *more])


CASES = [
    *(Case(protocol, network) for network in NETWORKS for protocol in ("masked", "unseen")),
    *(Case("masked", network, hours) for network in NETWORKS for hours in ("half", "quarter")),
    *(Case("masked", network, norms=("pooled-clusters",)) for network in NETWORKS),
    Case("masked", "convlstm-residual", norms=(*WITHOUT_LEVELS, "recurrent", "pooled")),
]


def folder(root: Path, hours: str, tau: float | None = None) -> Path:
    """Return the results folder of the norms without levels, or of those with levels and tau."""
    return root / (hours if tau is None else f"{hours}-tau-{tau:g}")


def train(
    city: CityData, root: Path, case: Case, norm: str, seeds: range, tau: float | None = None
) -> Results:
    """Make the runs of a case that are missing, and return their results folder."""
    settings = {"test_times": SCORED_TIMES, "parts": HOURS[case.hours]}
    if tau is not None:
        settings["pooling"] = tau
    directory = folder(root, case.hours, tau)
    network = Network.named(case.network)
    with only_writer(directory):
        results = open_results(directory, city, [case.protocol], preset="quick", settings=settings)
        configs = [
            results.config(
                network.backbone, norm, case.protocol,
                design=network.design, head=network.head, seed=seed,
            )
            for seed in seeds
        ]  # fmt: skip
        make_runs(results, configs, torch.device("cpu"), Console())
    return results


def best_tau(city: CityData, root: Path, case: Case, norm: str) -> float:
    """Train with each tau, and return the one with the lowest validation score."""
    scores = {}
    for tau in TAUS:
        runs = train(city, root, case, norm, range(SEEDS_OF_CHOICE), tau).runs()
        these = runs.query(
            "protocol == @case.protocol and model == @case.network and norm == @norm"
            " and seed < @SEEDS_OF_CHOICE"
        )
        scores[tau] = fmean(these["validation_sprmse"])
    return min(scores, key=lambda tau: scores[tau])


def measure(city: CityData, root: Path, case: Case) -> None:
    """Make all runs of a case."""
    for norm in case.norms:
        tau = best_tau(city, root, case, norm) if NORMS[norm].levels else None
        train(city, root, case, norm, range(SEEDS), tau)


def main() -> None:
    """Measure one city."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data")
    parser.add_argument("results", type=Path)
    parser.add_argument("--grid", type=grid, default=(32, 32))
    names = [case.name for case in CASES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="CASE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        city = load_city(options.data, grid=options.grid)
        for case in CASES:
            if case.name in options.only:
                measure(city, options.results, case)
    except (DataError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
