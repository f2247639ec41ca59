"""Write the tables of the pages from the files in `docs/results`.

``python docs/tables.py collect RESULTS_DIR NAME`` takes what is needed from a folder of ``tritonbn
compare``, ``write`` puts the tables into the pages, and ``check`` names the pages that differ. In a
page, a table stands between a line ``<!-- table: ID -->`` and a line ``<!-- end of table -->``.
"""

import argparse
import csv
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from data_prep.city import DataError
from data_prep.files import atomic_path
from tritonbn.experiment.config import NORMS
from tritonbn.experiment.results import KEYS, Results
from tritonbn.experiment.rivals import RIVALS
from tritonbn.experiment.scores import MIN_READINGS, mean_difference
from tritonbn.experiment.table import PUBLISHED, TITLES, Arm, Rows, interval, paired

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = [
    ROOT / name
    for name in ("README.md", "tritonbn/experiment/README.md", "tritonbn/experiment/RESULTS.md")
]

FACTS = [*KEYS, "sprmse", "spmae", "skill", "validation_sprmse", "steps", "seconds"]
"""The first columns of a file of `collect`; then comes the RMSE at each station."""

MEASURES = {"sprmse": "spRMSE", "spmae": "spMAE", "skill": "skill"}

BEGIN, END = "<!-- table: ", "<!-- end of table -->"
BLOCK = re.compile(rf"^({BEGIN}(\S+) -->\n).*?^({END})$", re.DOTALL | re.MULTILINE)

LEFT, RIGHT = "---", "---:"
"""How the columns of a table are aligned, but for the first one."""


def collect(directory: Path, name: str) -> None:
    """Write one row per run and rival of a results folder to `docs/results`, in their order.

    Parameters
    ----------
    directory : Path
        The folder.
    name : str
        Of the file, without ``.csv``.
    """
    results = Results.open(directory)
    runs = results.runs()
    if runs.empty:
        raise DataError(f"no run in {directory} is finished")
    stations = results.stations()
    stations["rmse"] = stations["rmse"].where(stations["readings"] >= MIN_READINGS)
    rmse = stations.pivot(index=[*KEYS], columns="station", values="rmse")
    rmse = rmse[results.city.stations["station"].to_list()].reset_index()
    table = runs[FACTS].merge(rmse, how="left", on=[*KEYS], validate="one_to_one")
    with atomic_path(RESULTS / f"{name}.csv") as path:
        table.round(4).to_csv(path, index=False)


def as_measured(name: str, alignment: str) -> str:
    """Return a table of text as it is, from a file in `docs/results`."""
    with (RESULTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return _markdown([*csv.reader(file)], alignment)


def scores(cities: Mapping[str, str], protocols: Sequence[str], models: Sequence[str] = ()) -> str:
    """Tabulate spRMSE, a row for each network and norm, and for each rival.

    Parameters
    ----------
    cities : mapping
        Files of `collect`, by name, and what to call them where there are several.
    protocols : sequence of str
    models : sequence of str
        Networks and rivals in the order of the rows. Default all that any of the files has.
    """
    return _markdown(_score_rows(cities, protocols, models, ["sprmse"]), RIGHT)


def other_measures(
    cities: Mapping[str, str], protocols: Sequence[str], models: Sequence[str] = ()
) -> str:
    """Tabulate spMAE and skill; the parameters are those of `scores`."""
    return _markdown(_score_rows(cities, protocols, models, ["spmae", "skill"]), RIGHT)


def each_seed(cities: Mapping[str, str], protocols: Sequence[str], models: Sequence[str]) -> str:
    """Tabulate the spRMSE of each seed, in their order; the parameters are those of `scores`."""
    rows = _score_rows(cities, protocols, models, ["sprmse"], _each)
    return _markdown([row[:-1] for row in rows], LEFT)


def scores_beside_published(
    cities: Mapping[str, str], protocols: Sequence[str], models: Sequence[str] = ()
) -> str:
    """Tabulate what was published, spMAE and spRMSE; the parameters are those of `scores`.

    What the published experiment calls spRMSE is by its code a mean of absolute errors, as spMAE.
    """
    rows = _score_rows(cities, protocols, models, ["spmae", "sprmse"])
    published = {_title(*arm): f"{score:.2f}" for arm, score in PUBLISHED.items()}
    published[rows[0][0]] = "published"
    rows = [[first, published.get(first, "-"), *others] for first, *others in rows]
    return _markdown(rows, RIGHT)


def differences(
    cities: Mapping[str, str], protocols: Sequence[str], pairs: Sequence[tuple[str, str, str]]
) -> str:
    """Tabulate mean differences of the stations' RMSE, with their 95 % intervals.

    Parameters
    ----------
    cities : mapping
    protocols : sequence of str
        See `scores`.
    pairs : sequence of (network, norm, other)
        One row each: the network with this norm minus that with the other norm, or minus a rival.
    """
    columns = _columns(cities, protocols)
    rows = [["difference of RMSE", *columns]]
    for model, norm, other in pairs:
        beside = (other, "-") if other in RIVALS else (model, other)
        title = f"{TITLES[model]}: {norm} - {TITLES.get(other, other)}"
        cells = [_difference(arms, (model, norm), beside) for arms in columns.values()]
        rows.append([title, *cells])
    return _markdown(rows, LEFT)


ANTWERP = {"antwerp": "Antwerp"}
ANTWERP_LONG = {"antwerp-paper": "Antwerp"}
OTHER_CITIES = {"mexico-city": "Mexico City", "kolkata": "Kolkata"}
DENSE = ["convlstm-dense", "cnn-dense"]
REPAIRED = [f"{model}-percentile" for model in DENSE]
CONVOLUTION = ["convlstm-convolution", "cnn-convolution"]
WIDE = ["wide-convlstm", "wide-cnn"]
ALL_ON_ANTWERP = [*DENSE, "cnn-lstm-dense", *REPAIRED, *CONVOLUTION, *WIDE, *RIVALS]

TABLES: dict[str, Callable[[], str]] = {
    "antwerp/summary": partial(
        scores, ANTWERP, ["masked", "paper"], [*DENSE, *REPAIRED, *WIDE, "ridge", "idw"]
    ),
    "antwerp/scores": partial(
        scores,
        ANTWERP,
        ["masked", "paper", "unseen"],
        ALL_ON_ANTWERP,
    ),
    "antwerp/other-measures": partial(
        other_measures, ANTWERP, ["masked", "paper", "unseen"], ALL_ON_ANTWERP
    ),
    "antwerp/seeds": partial(each_seed, ANTWERP, ["masked", "paper"], [*DENSE, *REPAIRED]),
    "antwerp/published": partial(scores_beside_published, ANTWERP, ["paper"], DENSE),
    "antwerp/paper-preset": partial(
        scores_beside_published, ANTWERP_LONG, ["paper"], [*DENSE, "ridge", "idw"]
    ),
    "antwerp/differences": partial(
        differences,
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
    "antwerp/suspects": partial(as_measured, "antwerp-suspects", RIGHT),
    "cities/dense": partial(scores, OTHER_CITIES, ["masked", "paper"], [*DENSE, "ridge", "idw"]),
    "cities/dense-differences": partial(
        differences,
        OTHER_CITIES,
        ["masked", "paper"],
        [(model, "local", other) for model in DENSE for other in ("none", "global", "idw")],
    ),
    "earlier/summary": partial(as_measured, "earlier/summary", RIGHT),
    "earlier/scores": partial(as_measured, "earlier/scores", RIGHT),
    "earlier/differences": partial(as_measured, "earlier/differences", LEFT),
    "earlier/masked": partial(as_measured, "earlier/masked", RIGHT),
    "earlier/unseen": partial(as_measured, "earlier/unseen", RIGHT),
    "earlier/paper": partial(as_measured, "earlier/paper", RIGHT),
    "earlier/paper-differences": partial(as_measured, "earlier/paper-differences", LEFT),
    "earlier/places": partial(as_measured, "earlier/places", LEFT),
    "earlier/options-validation": partial(as_measured, "earlier/options-validation", RIGHT),
    "earlier/options-test": partial(as_measured, "earlier/options-test", LEFT),
    "earlier/left-out": partial(as_measured, "earlier/left-out", RIGHT),
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
    collecting = commands.add_parser("collect", help="take what is needed from a results folder")
    collecting.add_argument("directory", type=Path, metavar="RESULTS_DIR")
    collecting.add_argument("name", metavar="NAME")
    commands.add_parser("write", help="put the tables into the pages")
    commands.add_parser("check", help="name the pages that differ from the files")
    options = parser.parse_args(arguments)

    if options.command == "collect":
        collect(options.directory, options.name)
        return 0
    pages = {page: page.read_text(encoding="utf-8") for page in PAGES}
    new = {page: rendered(text) for page, text in pages.items()}
    different = [page for page in pages if new[page] != pages[page]]
    if options.command == "check":
        for page in different:
            print(f"{page} differs from the files in docs/results")
        return 1 if different else 0
    for page in different:
        with atomic_path(page) as path:
            path.write_text(new[page], encoding="utf-8")
    return 0


Arms = dict[Arm, pd.DataFrame]
"""The rows of each model and norm, or rival, under one protocol, by seed."""


def _columns(cities: Mapping[str, str], protocols: Sequence[str]) -> dict[str, Arms]:
    """Return what each column of a table is about, by its title."""
    tables = {
        city: pd.read_csv(RESULTS / f"{name}.csv", index_col="seed")
        for name, city in cities.items()
    }
    return {
        protocol if len(cities) == 1 else f"{protocol}: {city}": {
            (str(model), str(norm)): rows
            for (model, norm), rows in table[table["protocol"] == protocol].groupby(
                ["model", "norm"]
            )
        }
        for protocol in protocols
        for city, table in tables.items()
    }


def _score(runs: pd.DataFrame | None, measure: str) -> str:
    if runs is None:
        return "-"
    mean = f"{runs[measure].mean():.2f}"
    return mean if len(runs) == 1 else f"{mean} ± {runs[measure].std():.2f}"


def _each(runs: pd.DataFrame | None, measure: str) -> str:
    return "-" if runs is None else ", ".join(f"{score:.2f}" for score in runs[measure])


def _score_rows(
    cities: Mapping[str, str],
    protocols: Sequence[str],
    models: Sequence[str],
    measures: Sequence[str],
    show: Callable[[pd.DataFrame | None, str], str] = _score,
) -> Rows:
    columns = _columns(cities, protocols)
    there = {arm for arms in columns.values() for arm in arms}
    if missing := {*models} - {model for model, _ in there}:
        raise ValueError(f"nothing of {', '.join(sorted(missing))} under {', '.join(columns)}")
    header = [
        f"{MEASURES[measure]}, {title}" if len(measures) > 1 else title
        for measure in measures
        for title in columns
    ]
    rows = [["model", *header, "seeds"]]
    for model in models or TITLES:
        for norm in [*NORMS, "-"]:
            if (model, norm) not in there:
                continue
            found = [arms.get((model, norm)) for arms in columns.values()]
            cells = [show(runs, measure) for measure in measures for runs in found]
            rows.append([_title(model, norm), *cells, "-" if norm == "-" else _seeds(found)])
    return rows


def _seeds(columns: Sequence[pd.DataFrame | None]) -> str:
    counts = {len(runs) for runs in columns if runs is not None}
    least, most = min(counts), max(counts)
    return str(most) if least == most else f"{least} to {most}"


def _difference(arms: Arms, arm: Arm, other: Arm) -> str:
    if arm not in arms or other not in arms:
        return "-"
    rmse = {name: _stations(arms[name]) for name in (arm, other)}
    differences = paired(rmse, arm, other)
    if not len(differences):
        return "-"
    mean, low, high = mean_difference(differences)
    return f"{mean:+.2f} ({interval(low, high)})"


def _stations(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the RMSE of the stations that count, a row for each seed."""
    return runs.drop(columns=FACTS, errors="ignore").dropna(axis="columns", how="all")


def _title(model: str, norm: str) -> str:
    return TITLES[model] if norm == "-" else f"{TITLES[model]}, {norm}"


def _markdown(rows: Rows, alignment: str) -> str:
    header, *body = rows
    lines = [header, ["---", *[alignment] * (len(header) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
