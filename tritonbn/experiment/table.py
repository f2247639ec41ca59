"""The table of spRMSE: published beside measured, and what it says about local normalization."""

from collections.abc import Sequence

import pandas as pd

from tritonbn.experiment.results import BACKBONES

PUBLISHED = {
    ("convlstm", "none"): 16.6354,
    ("convlstm", "global"): 13.9992,
    ("convlstm", "local"): 13.7041,
    ("cnn", "none"): 18.6550,
    ("cnn", "global"): 15.9571,
    ("cnn", "local"): 14.1488,
}
"""spRMSE in ug/m3 of the published experiment: Antwerp, PM2.5, the protocol `paper`."""

Rows = list[list[str]]
"""A table as text, the header first."""


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Average the runs of one protocol over their seeds.

    Parameters
    ----------
    runs : DataFrame
        From `Results.runs`.

    Returns
    -------
    DataFrame
        One row per backbone and norm, in the order of `runs`: `sprmse` and `spmae` (means), `sd`
        (standard deviation of spRMSE; NaN for a single seed), `seeds` (their number).
    """
    arms = runs.groupby(["backbone", "norm"], sort=False)
    return arms.agg(
        sprmse=("sprmse", "mean"),
        sd=("sprmse", "std"),
        spmae=("spmae", "mean"),
        seeds=("seed", "size"),
    ).reset_index()


def score_rows(runs: pd.DataFrame) -> Rows:
    """Tabulate the runs of one protocol, one row per backbone and norm, and IDW.

    The published figures stand beside those of the protocol that they were measured with.
    """
    rows = [["model", "normalization", "published", "spRMSE", "sd", "spMAE", "seeds"]]
    for arm in summarize(runs).to_dict("records"):
        key = arm["backbone"], arm["norm"]
        scores = PUBLISHED[key], arm["sprmse"], arm["sd"], arm["spmae"], arm["seeds"]
        rows.append([BACKBONES[key[0]], key[1], *map(_number, scores)])
    idw = runs.iloc[0]
    rows.append(["IDW", "-", "-", _number(idw["idw_sprmse"]), "-", _number(idw["idw_spmae"]), "-"])
    if (runs["protocol"] == "paper").all():
        return rows
    return [[*row[:2], *row[3:]] for row in rows]


def verdicts(runs: pd.DataFrame) -> list[str]:
    """Say which norm is best for each backbone, and which models are better than IDW.

    Parameters
    ----------
    runs : DataFrame
        From `Results.runs`, of one protocol.
    """
    summary = summarize(runs)
    lines = []
    for backbone, arms in summary.groupby("backbone", sort=False):
        ranked = arms.sort_values("sprmse", kind="stable")
        norms = ranked["norm"].to_list()
        if len(norms) < 2 or "local" not in norms:
            continue
        verdict = "local is best" if norms[0] == "local" else "local is not best"
        first, second = ranked["sprmse"].iloc[:2]
        if second - first < ranked["sd"].iloc[:2].max():
            verdict += ", and the first two differ by less than the sd over seeds"
        order = (f"{norm} {score:.2f}" for norm, score in zip(norms, ranked["sprmse"], strict=True))
        lines.append(f"{BACKBONES[str(backbone)]}: {verdict} ({', '.join(order)}).")
    idw = runs["idw_sprmse"].iloc[0]
    better = summary[summary["sprmse"] < idw]
    names = [f"{BACKBONES[arm.backbone]} {arm.norm}" for arm in better.itertuples()]
    lines.append(f"Better than IDW ({idw:.2f}): {', '.join(names) or 'no model'}.")
    return lines


def station_rows(stations: pd.DataFrame) -> Rows:
    """Tabulate the RMSE at each station, of the runs of one protocol averaged over seeds.

    Parameters
    ----------
    stations : DataFrame
        From `Results.stations`.
    """
    facts = ["cell", "readings", "mean_reading", "idw_rmse"]
    table = stations.groupby("station", sort=False)[facts].first()
    for (backbone, norm), arm in stations.groupby(["backbone", "norm"], sort=False):
        table[f"{BACKBONES[str(backbone)]} {norm}"] = arm.groupby("station")["rmse"].mean()
    header = ["station", "cell", "readings", "mean", "IDW", *table.columns[len(facts) :]]
    return [header, *([str(name), *map(_number, row)] for name, *row in table.itertuples())]


def _number(value: float) -> str:
    if pd.isna(value):
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Format a table as Markdown."""
    header, *body = rows
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
