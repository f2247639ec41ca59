"""Write the tables of the pages from the files in `docs/results` and `benchmarks/records`.

``python docs/tables.py collect RESULTS_DIR NAME`` copies what is needed from one or more results
folders, ``write`` puts the tables into the pages, and ``check`` names the pages that differ. In a
page, a table stands between a line ``<!-- table: ID -->`` and a line ``<!-- end of table -->``.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import bench_layouts as bench
import bench_plot as plot
import pandas as pd
import table_layouts as layouts
from table_layouts import TAU

from data_prep.city import DataError
from data_prep.files import atomic_path
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.task.record import KEYS, NO_NORM
from tritonbn.experiment.task.scores import MIN_READINGS
from tritonbn.tables import LEFT, RIGHT

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "benchmarks/README.md",
        "docs/earlier-results.md",
        "docs/experiment.md",
        "docs/how-to/distributed.md",
        "docs/how-to/own-data.md",
        "docs/layer.md",
        "docs/pooling.md",
        "docs/reliability.md",
    )
]

BEGIN, END = "<!-- table: ", "<!-- end of table -->"
BLOCK = re.compile(rf"^({BEGIN}(\S+) -->\n).*?^({END})$", re.DOTALL | re.MULTILINE)


def collect(directories: Sequence[Path], name: str) -> None:
    """Write one row per run and baseline of results folders to `docs/results`, in their order.

    Parameters
    ----------
    directories : sequence of Path
        The folders, of one city. Several folders may differ in the setting `pooling`, which the
        table then has as a column, and in nothing else.
    name : str
        Of the file, without ``.csv``.

    Raises
    ------
    DataError
        If a folder has no finished run, or the folders differ in anything else.
    """
    folders = [Results.open(directory) for directory in directories]
    kinds = [{**folder.facts, "settings": {**folder.settings, TAU: None}} for folder in folders]
    for directory, kind in zip(directories, kinds, strict=True):
        if different := [fact for fact in kinds[0] if kind.get(fact) != kinds[0][fact]]:
            raise DataError(
                f"{directory} and {directories[0]} differ in {', '.join(different)}; folders of "
                f"one table may differ in the setting {TAU} alone"
            )
    tables = [_rows_of(folder) for folder in folders]
    if len(folders) > 1:
        for folder, table in zip(folders, tables, strict=True):
            tau = folder.config("cnn", "pooled", "masked").pooling
            pooled = table["norm"].map(lambda norm: norm in NORMS and bool(NORMS[norm].levels))
            table.insert(len(KEYS), TAU, pooled.map({True: tau, False: None}))
    joined = pd.concat(tables)
    joined = joined.drop_duplicates([name for name in (*KEYS, TAU) if name in joined])  # IDW
    with atomic_path(layouts.RESULTS / f"{name}.csv") as path:
        joined.round(4).to_csv(path, index=False)


def _rows_of(results: Results) -> pd.DataFrame:
    runs = results.runs()
    if runs.empty:
        raise DataError(f"no run in {results.directory} is finished")
    stations = results.stations()
    stations["rmse"] = stations["rmse"].where(stations["readings"] >= MIN_READINGS)
    rmse = stations.pivot(index=[*KEYS], columns="station", values="rmse")
    rmse = rmse[results.city.stations["station"].to_list()].reset_index()
    return runs[layouts.FACTS].merge(rmse, how="left", on=[*KEYS], validate="one_to_one")


ANTWERP = {"antwerp": "Antwerp"}
ANTWERP_LONG = {"antwerp-paper": "Antwerp"}
OTHER_CITIES = {"mexico-city": "Mexico City", "kolkata": "Kolkata"}
DENSE = ["convlstm-dense", "cnn-dense"]
REPAIRED = [f"{model}-percentile" for model in DENSE]
CONVOLUTION = ["convlstm-convolution", "cnn-convolution"]
CLASSICAL = [
    *("mean-own", "mean", "nearest", "idw", "idw-offset", "kriging", "gp", "ridge", "boosting"),
]
RESIDUAL = ["convlstm-residual", "cnn-residual"]
ALL_ON_ANTWERP = [*DENSE, "cnn-lstm-dense", *REPAIRED, *CONVOLUTION, *RESIDUAL, *CLASSICAL]

LEVELS = {
    "levels-antwerp": "Antwerp",
    "levels-mexico-city": "Mexico City",
    "levels-kolkata": "Kolkata",
}
FEWER_HOURS = {
    "levels-mexico-city-half": "Mexico City, half",
    "levels-mexico-city-quarter": "Mexico City, quarter",
    "levels-kolkata-half": "Kolkata, half",
    "levels-kolkata-quarter": "Kolkata, quarter",
}
OF_LEVELS = ["cnn-residual", "cnn-dense", "cnn-convolution"]

BEFORE = "h100-2026-11-27-before"

TABLES: dict[str, Callable[[], str]] = {
    "antwerp/readme": partial(
        layouts.scores,
        ANTWERP,
        ["paper", "masked"],
        [*DENSE, "ridge", "idw"],
        norms=["none", "global", "local", NO_NORM],
    ),
    "antwerp/scores": partial(
        layouts.scores,
        ANTWERP,
        ["masked", "paper", "unseen"],
        ALL_ON_ANTWERP,
    ),
    "antwerp/other-measures": partial(
        layouts.other_measures, ANTWERP, ["masked", "paper", "unseen"], ALL_ON_ANTWERP
    ),
    "antwerp/seeds": partial(layouts.each_seed, ANTWERP, ["masked", "paper"], [*DENSE, *REPAIRED]),
    "antwerp/published": partial(layouts.scores_beside_published, ANTWERP, ["paper"], DENSE),
    "antwerp/paper-preset": partial(
        layouts.scores_beside_published, ANTWERP_LONG, ["paper"], [*DENSE, "ridge", "idw"]
    ),
    "antwerp/differences": partial(
        layouts.differences,
        ANTWERP,
        ["masked", "paper"],
        [
            *(
                (model, "local", other)
                for model in DENSE
                for other in ("none", "global", "offset", "scaled", "idw")
            ),
            *(
                (model, "local", other)
                for model in (*REPAIRED, *CONVOLUTION)
                for other in ("none", "global", "idw")
            ),
        ],
    ),
    "archive": partial(layouts.as_measured, "archive", RIGHT),
    "ranks/gloo": partial(layouts.as_measured, "ranks-gloo", RIGHT),
    **{
        f"reliability/{part}": partial(layouts.as_measured, f"reliability/{part}", RIGHT)
        for part in ("inputs", "kills", "disk", "pairs")
    },
    "reliability/machine": partial(layouts.as_measured, "reliability/machine", LEFT),
    "antwerp/suspects": partial(layouts.as_measured, "antwerp-suspects", RIGHT),
    "cities/dense": partial(
        layouts.scores, OTHER_CITIES, ["masked", "paper"], [*DENSE, "ridge", "idw"]
    ),
    "cities/dense-differences": partial(
        layouts.differences,
        OTHER_CITIES,
        ["masked", "paper"],
        [(model, "local", other) for model in DENSE for other in ("none", "global", "idw")],
    ),
    "levels/scores": partial(layouts.scores, LEVELS, ["masked", "unseen"], [*OF_LEVELS, "idw"]),
    "levels/differences": partial(
        layouts.differences,
        LEVELS,
        ["masked", "unseen"],
        [
            (model, norm, other)
            for model in OF_LEVELS
            for norm, other in (
                *(("pooled", other) for other in ("none", "global", "local")),
                ("pooled-clusters", "pooled"),
            )
        ],
    ),
    "levels/tau": partial(layouts.choice_of_tau, LEVELS, ["masked", "unseen"], OF_LEVELS, "pooled"),
    "levels/steps": partial(layouts.as_measured, "level-steps", RIGHT),
    "levels/hours": partial(layouts.scores, FEWER_HOURS, ["masked"], [*OF_LEVELS, "idw"]),
    "levels/hours-differences": partial(
        layouts.differences,
        FEWER_HOURS,
        ["masked"],
        [(model, "pooled", other) for model in OF_LEVELS for other in ("none", "global", "local")],
    ),
    "earlier/scores": partial(layouts.as_measured, "earlier/scores", RIGHT),
    "earlier/differences": partial(layouts.as_measured, "earlier/differences", LEFT),
    "earlier/masked": partial(layouts.as_measured, "earlier/masked", RIGHT),
    "earlier/unseen": partial(layouts.as_measured, "earlier/unseen", RIGHT),
    "earlier/paper": partial(layouts.as_measured, "earlier/paper", RIGHT),
    "earlier/paper-differences": partial(layouts.as_measured, "earlier/paper-differences", LEFT),
    "earlier/places": partial(layouts.as_measured, "earlier/places", LEFT),
    "earlier/options-validation": partial(layouts.as_measured, "earlier/options-validation", RIGHT),
    "earlier/options-test": partial(layouts.as_measured, "earlier/options-test", LEFT),
    "earlier/left-out": partial(layouts.as_measured, "earlier/left-out", RIGHT),
    "cpu/steps": partial(bench.cpu_steps, "cpu"),
    "cpu/processes": partial(layouts.as_measured, "processes", RIGHT),
    "h100/layers": partial(bench.layers, "h100", BEFORE),
    "h100/networks": partial(bench.networks, "h100", BEFORE),
    "h100/steps": partial(bench.gpu_steps, "h100"),
}
"""All tables of the pages, by ID."""


def rendered(text: str) -> str:
    """Return the text of a page with its tables as the files have them.

    Raises
    ------
    ValueError
        If a table has no end, or an ID that is not in `TABLES`.
    """
    found = BLOCK.findall(text)
    if not len(found) == text.count(BEGIN) == text.count(END):
        raise ValueError(f"each line {BEGIN}ID --> needs a line {END} after it")
    if unknown := [name for _, name, _ in found if name not in TABLES]:
        raise ValueError(f"no such table: {', '.join(unknown)}")
    return BLOCK.sub(lambda block: f"{block[1]}{TABLES[block[2]]()}\n{block[3]}", text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 1 if `check` finds a difference."""
    parser = argparse.ArgumentParser(description="Write the tables of the pages from result files.")
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect", help="take what is needed from results folders")
    collecting.add_argument("directories", type=Path, metavar="RESULTS_DIR", nargs="+")
    collecting.add_argument("name", metavar="NAME")
    commands.add_parser("write", help="put the tables into the pages")
    commands.add_parser("check", help="name the pages that differ from the files")
    options = parser.parse_args(arguments)

    if options.command == "collect":
        collect(options.directories, options.name)
        return 0
    pages = {page: page.read_text(encoding="utf-8") for page in PAGES}
    new = {page: rendered(text) for page, text in pages.items()}
    different = [page for page in pages if new[page] != pages[page]]
    if options.command == "check":
        for page in different:
            print(f"{page} differs from the files in docs/results and benchmarks/records")
        if not plot.is_current():
            print(f"{plot.PATH} differs from the newest record in benchmarks/records")
        return 0 if plot.is_current() and not different else 1
    for page in different:
        with atomic_path(page) as path:
            path.write_text(new[page], encoding="utf-8")
    if not plot.is_current():
        plot.write()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
