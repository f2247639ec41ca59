"""The layouts of the tables of the pages: Markdown from the files in `docs/results`."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from tritonbn.experiment.baselines import BASELINES
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.study.tables import PUBLISHED, Arm, interval, paired, title_of
from tritonbn.experiment.task.record import KEYS, NO_NORM
from tritonbn.experiment.task.scores import mean_difference
from tritonbn.tables import LEFT, RIGHT, Rows, markdown

RESULTS = Path(__file__).resolve().parent / "results"

FACTS = [*KEYS, "sprmse", "spmae", "skill", "validation_sprmse", "steps", "seconds"]
"""The first columns of a file in `RESULTS`, which the RMSE at each station follows."""

MEASURES = {"sprmse": "spRMSE", "spmae": "spMAE", "skill": "skill"}

TAU = "pooling"
"""The column of files that have runs with several values of tau."""


def as_measured(name: str, alignment: str) -> str:
    """Return a table of text as it is, from a file in `docs/results`."""
    with (RESULTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return markdown([*csv.reader(file)], alignment)


def scores(
    cities: Mapping[str, str],
    protocols: Sequence[str],
    models: Sequence[str] = (),
    norms: Sequence[str] = (*NORMS, NO_NORM),
) -> str:
    """Tabulate spRMSE, a row for each network and norm, and for each baseline.

    Parameters
    ----------
    cities : mapping
        Files of `collect`, by name, and what to call them where there are several.
    protocols : sequence of str
    models : sequence of str
        Networks and baselines in the order of the rows. Default: all that any of the files has.
    norms : sequence of str
        Default: all.
    """
    return markdown(_score_rows(cities, protocols, models, ["sprmse"], norms=norms), RIGHT)


def other_measures(
    cities: Mapping[str, str], protocols: Sequence[str], models: Sequence[str] = ()
) -> str:
    """Tabulate spMAE and skill; the parameters are those of `scores`."""
    return markdown(_score_rows(cities, protocols, models, ["spmae", "skill"]), RIGHT)


def each_seed(cities: Mapping[str, str], protocols: Sequence[str], models: Sequence[str]) -> str:
    """Tabulate the spRMSE of each seed, in their order; the parameters are those of `scores`."""
    rows = _score_rows(cities, protocols, models, ["sprmse"], _each)
    return markdown([row[:-1] for row in rows], LEFT)


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
    return markdown(rows, RIGHT)


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
        One row each: the network with this norm minus that with the other norm, or a baseline.
    """
    columns = _columns(cities, protocols)
    rows = [["difference of RMSE", *columns]]
    for model, norm, other in pairs:
        beside = (other, NO_NORM) if other in BASELINES else (model, other)
        named = title_of(other) if other in BASELINES else other
        title = f"{title_of(model)}: {norm} - {named}"
        cells = [_difference(arms, (model, norm), beside) for arms in columns.values()]
        rows.append([title, *cells])
    return markdown(rows, LEFT)


def choice_of_tau(
    cities: Mapping[str, str], protocols: Sequence[str], models: Sequence[str], norm: str
) -> str:
    """Tabulate the validation scores of each tau, the chosen one in bold.

    Parameters
    ----------
    cities, protocols, models
        See `scores`.
    norm : str
        The norm that has several levels.
    """
    columns = _columns(cities, protocols, choose=False)
    rows = [["network, tau", *columns]]
    for model in models:
        found = [
            None if (runs := arms.get((model, norm))) is None else _validation_by_tau(runs)
            for arms in columns.values()
        ]
        for tau in sorted({tau for scores in found if scores is not None for tau in scores.index}):
            cells = ["-" if scores is None else _in_bold_if_best(scores, tau) for scores in found]
            rows.append([f"{title_of(model)}, {tau:g}", *cells])
    return markdown(rows, RIGHT)


def _in_bold_if_best(scores: pd.Series, tau: float) -> str:
    score = f"{scores[tau]:.2f}"
    return f"**{score}**" if tau == scores.idxmin() else score


Arms = dict[Arm, pd.DataFrame]
"""The rows of each network and norm, or baseline, under one protocol, by seed."""


def _columns(
    cities: Mapping[str, str], protocols: Sequence[str], *, choose: bool = True
) -> dict[str, Arms]:
    """Return the rows of each column of a table, by its title; of several tau the chosen one.

    A city has no column for a protocol under which nothing was measured there.
    """
    tables = {
        city: pd.read_csv(RESULTS / f"{name}.csv", index_col="seed")
        for name, city in cities.items()
    }
    return {
        protocol if len(cities) == 1 else f"{protocol}: {city}": {
            (str(model), str(norm)): _with_chosen_tau(rows) if choose else rows
            for (model, norm), rows in table[table["protocol"] == protocol].groupby(
                ["model", "norm"]
            )
        }
        for protocol in protocols
        for city, table in tables.items()
        if protocol in table["protocol"].values
    }


def _with_chosen_tau(runs: pd.DataFrame) -> pd.DataFrame:
    """Return those runs of an arm that have the tau with the best validation score."""
    if TAU not in runs or runs[TAU].isna().all():
        return runs
    return runs[runs[TAU] == _validation_by_tau(runs).idxmin()]


def _validation_by_tau(runs: pd.DataFrame) -> pd.Series:
    """Return the mean validation score over the seeds that have every tau."""
    table = runs.pivot(columns=TAU, values="validation_sprmse").dropna()
    if table.empty:
        raise ValueError(f"no seed has every tau of {sorted(runs[TAU].unique())}")
    mean: pd.Series = table.mean()
    return mean


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
    norms: Sequence[str] = (*NORMS, NO_NORM),
) -> Rows:
    columns = _columns(cities, protocols)
    ordered = [arm for arms in columns.values() for arm in arms]
    there = {*ordered}
    if missing := {*models} - {model for model, _ in there}:
        raise ValueError(f"nothing of {', '.join(sorted(missing))} under {', '.join(columns)}")
    header = [
        f"{MEASURES[measure]}, {title}" if len(measures) > 1 else title
        for measure in measures
        for title in columns
    ]
    rows = [["model", *header, "seeds"]]
    for model in models or list(dict.fromkeys(model for model, _ in ordered)):
        for norm in norms:
            if (model, norm) not in there:
                continue
            found = [arms.get((model, norm)) for arms in columns.values()]
            cells = [show(runs, measure) for measure in measures for runs in found]
            rows.append([_title(model, norm), *cells, "-" if norm == NO_NORM else _seeds(found)])
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
    """Return the RMSE of the scored stations, a row for each seed."""
    return runs.drop(columns=[*FACTS, TAU], errors="ignore").dropna(axis="columns", how="all")


def _title(model: str, norm: str) -> str:
    return title_of(model) if norm == NO_NORM else f"{title_of(model)}, {norm}"
