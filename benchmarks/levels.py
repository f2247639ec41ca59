"""Measure whether levels of segments improve the networks of the experiment.

    python benchmarks/levels.py DATA RESULTS [--grid HEIGHTxWIDTH] [--only CASE ...]

DATA is the same as for `tritonbn train --data`. RESULTS receives one results folder for each share
of the training hours and each tau; `python docs/tables.py collect` joins those of one share into a
table. The same command resumes the work after an interruption. For each case, in the order of
`CASES`:

1. The norms none, global and local are trained with five seeds.
2. `pooled` is trained with two seeds for each tau in `TAUS`.
3. The tau with the lowest mean score of these in the validation part is trained with five seeds.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console

from data_prep.city import CityData
from data_prep.files import only_writer
from data_prep.load import load_city
from data_prep.options import grid
from tritonbn.experiment.networks.network import Network
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

NETWORKS = {name: Network.named(name) for name in ("cnn-residual", "cnn-dense", "cnn-convolution")}


@dataclass(frozen=True)
class Case:
    """One network under one protocol, with a share of the training hours."""

    protocol: str
    network: str
    hours: str = "all"

    @property
    def name(self) -> str:
        """The name for `--only`, such as ``masked/cnn-dense`` or ``masked/cnn-dense/half``."""
        return "/".join([self.protocol, self.network] + [self.hours] * (self.hours != "all"))


CASES = [
    *(Case(protocol, network) for network in NETWORKS for protocol in ("masked", "unseen")),
    *(Case("masked", network, hours) for network in NETWORKS for hours in ("half", "quarter")),
]


def folder(root: Path, hours: str, tau: float | None = None) -> Path:
    """Return the results folder of the norms without levels, or of `pooled` with tau."""
    return root / (hours if tau is None else f"{hours}-tau-{tau:g}")


def train(
    city: CityData, root: Path, case: Case, norm: str, seeds: range, tau: float | None
) -> Results:
    """Make the runs of a case that are missing, and return their results folder."""
    settings = {"test_times": SCORED_TIMES, "parts": HOURS[case.hours]}
    if tau is not None:
        settings["pooling"] = tau
    directory = folder(root, case.hours, tau)
    network = NETWORKS[case.network]
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


def measure(city: CityData, root: Path, case: Case) -> None:
    """Make all runs of a case."""
    for norm in ("none", "global", "local"):
        train(city, root, case, norm, range(SEEDS), None)
    scores = {}
    for tau in TAUS:
        runs = train(city, root, case, "pooled", range(SEEDS_OF_CHOICE), tau).runs()
        these = runs.query(
            "protocol == @case.protocol and model == @case.network and norm == 'pooled'"
            " and seed < @SEEDS_OF_CHOICE"
        )
        scores[tau] = fmean(these["validation_sprmse"])
    best = min(scores, key=lambda tau: scores[tau])
    train(city, root, case, "pooled", range(SEEDS), best)


def chosen(names: list[str]) -> Iterator[Case]:
    """Return the cases with these names, or all."""
    if unknown := set(names) - {case.name for case in CASES}:
        raise SystemExit(f"no such case: {', '.join(sorted(unknown))}")
    return (case for case in CASES if not names or case.name in names)


def main() -> None:
    """Measure one city."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data")
    parser.add_argument("results", type=Path)
    parser.add_argument("--grid", type=grid, default=(32, 32))
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    city = load_city(options.data, grid=options.grid)
    for case in chosen(options.only):
        measure(city, options.results, case)


if __name__ == "__main__":
    main()
