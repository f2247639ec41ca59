"""The tables of scores in words: what was measured, and what it says about local normalization."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from tritonbn.experiment.config import NETWORKS, lacks_of
from tritonbn.experiment.config import TITLES as NETWORK_TITLES
from tritonbn.experiment.rivals import RIVALS
from tritonbn.experiment.scores import MIN_READINGS, mean_difference

PUBLISHED = {
    ("convlstm-dense", "none"): 16.6354,
    ("convlstm-dense", "global"): 13.9992,
    ("convlstm-dense", "local"): 13.7041,
    ("cnn-dense", "none"): 18.6550,
    ("cnn-dense", "global"): 15.9571,
    ("cnn-dense", "local"): 14.1488,
}
"""What the published experiment calls spRMSE, in ug/m3, of networks with the head of its figure:
Antwerp, PM2.5, the protocol `paper`. By its code it is the mean of absolute errors, `spmae`."""

TITLES = {**NETWORK_TITLES, **{name: rival.name for name, rival in RIVALS.items()}}
"""Networks and rivals as tables and figures name them."""


MEANS = ("time_rmse", "spmae", "bias", "r2", "skill", "validation_sprmse")
"""What is averaged over seeds beside spRMSE."""

NO_DIFFERENCE = "not clearly different from"

OTHERS = ("none", "global", "offset", "embedding", "scaled")
"""The norms that local is compared with."""

Arm = tuple[str, str]
"""A model, or a rival, and its norm."""

Rows = list[list[str]]
"""A table as text, the header first."""


def arm_title(model: str, norm: str) -> str:
    """Name a network with its norm, or a rival, which has none."""
    return TITLES[model] if norm == "-" else f"{TITLES[model]} {norm}"


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Average the runs of one protocol over their seeds.

    Parameters
    ----------
    runs : DataFrame
        From `Results.runs`.

    Returns
    -------
    DataFrame
        One row per model and norm, in the order of `runs`: the means of `sprmse`, `time_rmse`,
        `spmae`, `bias`, `r2`, `skill` and `validation_sprmse`, `sd` (standard deviation of spRMSE;
        NaN for a single seed) and `seeds` (their number).
    """
    arms = runs.groupby(["model", "norm"], sort=False)
    summary = arms[["sprmse", *MEANS]].mean()
    summary.insert(1, "sd", arms["sprmse"].std())
    return summary.assign(seeds=arms.size()).reset_index()


def score_rows(runs: pd.DataFrame) -> Rows:
    """Tabulate the runs and rivals of one protocol, one row per model and norm.

    The published figures stand beside those of the protocol that they were measured with.
    """
    header = ["model", "normalization", "published", "spRMSE", "sd", "RMSE of a time", "spMAE"]
    rows = [[*header, "bias", "R2", "skill", "validation", "seeds"]]
    for arm in summarize(runs).to_dict("records"):
        model, norm = arm["model"], arm["norm"]
        scores = [arm[name] for name in ("sprmse", "sd", *MEANS)]
        seeds = str(arm["seeds"]) if model in NETWORKS else "-"
        published = PUBLISHED.get((model, norm), float("nan"))
        rows.append([TITLES[model], norm, *map(_number, (published, *scores)), seeds])
    if (runs["protocol"] == "paper").all():
        return rows
    return [[*row[:2], *row[3:]] for row in rows]


def difference_rows(stations: pd.DataFrame) -> Rows:
    """Tabulate how each network of a protocol differs from the best rival, and local from others.

    A network that lacks something is compared with the whole one.

    Parameters
    ----------
    stations : DataFrame
        From `Results.stations`.

    Returns
    -------
    Rows
        Mean difference of the stations' RMSE, with its 95 % interval; negative: the first is
        better.
    """
    rmse = _rmse(stations)
    rival = best_rival(sprmse_of(rmse))
    rows = [["model", "normalization", "beside", "difference of RMSE", "95 % interval"]]
    for model, norm in rmse:
        if model not in NETWORKS:
            continue
        lacking = lacks_of(model)
        whole = model.removesuffix(f"-no-{lacking}")
        beside = {TITLES[rival]: (rival, "-")} if rival and not lacking else {}
        if lacking and (whole, norm) in rmse:
            beside[TITLES[whole]] = whole, norm
        if norm.startswith("local"):
            beside |= {other: (model, other) for other in OTHERS if (model, other) in rmse}
        for name, other in beside.items():
            differences = paired(rmse, (model, norm), other)
            if len(differences):
                mean, low, high = mean_difference(differences)
                rows.append([TITLES[model], norm, name, f"{mean:+.2f}", interval(low, high)])
    return rows


def interval(low: float, high: float) -> str:
    """Write what `mean_difference` returned; there may be none."""
    return "-" if np.isnan(low) else f"{low:+.2f} .. {high:+.2f}"


def sprmse_of(rmse: Mapping[Arm, pd.DataFrame]) -> dict[Arm, float]:
    """Average the RMSE over stations and seeds."""
    return {arm: float(of_stations.to_numpy().mean()) for arm, of_stations in rmse.items()}


def best_rival(sprmse: Mapping[Arm, float]) -> str | None:
    """Return the rival of the lowest spRMSE."""
    rivals = [model for model, _ in sprmse if model not in NETWORKS]
    return min(rivals, key=lambda name: sprmse[name, "-"], default=None)


def ratio(score: float, of_rival: float) -> str:
    """Write one score as a multiple of another; nothing is one of 0."""
    return f"{score / of_rival:.2f}" if of_rival else "-"


def paired(rmse: Mapping[Arm, pd.DataFrame], arm: Arm, other: Arm) -> npt.NDArray[np.float64]:
    """Return the differences of two arms, (seeds, stations): of all seeds that both have.

    A rival has none, and is the same beside each.
    """
    of_arm, of_other = rmse[arm], rmse[other]
    if other[1] != "-":
        seeds = of_arm.index.intersection(of_other.index)
        of_arm, of_other = of_arm.loc[seeds], of_other.loc[seeds]
    differences: npt.NDArray[np.float64] = of_arm.to_numpy() - of_other.to_numpy()
    return differences


def chosen_network(runs: pd.DataFrame) -> Arm | None:
    """Return the network that validation chooses, of the runs of one protocol.

    Parameters
    ----------
    runs : DataFrame
        From `Results.runs`.

    Returns
    -------
    (model, norm) or None
        Of the lowest mean `validation_sprmse`, of those that lack nothing; None if there is none.
    """
    scores = summarize(runs).set_index(["model", "norm"])["validation_sprmse"]
    networks = [arm for arm in scores.index if arm[0] in NETWORKS and not lacks_of(arm[0])]
    return min(networks, key=scores.__getitem__, default=None)


def verdicts(runs: pd.DataFrame, stations: pd.DataFrame) -> list[str]:
    """Say what one protocol shows of local normalization, and against the best rival.

    Parameters
    ----------
    runs : DataFrame
        From `Results.runs`.
    stations : DataFrame
        From `Results.stations`.
    """
    rmse = _rmse(stations)
    sprmse = sprmse_of(rmse)
    lines = []
    for model, title in NETWORK_TITLES.items():
        others = [norm for norm in OTHERS if (model, norm) in rmse]
        for local in [norm for name, norm in rmse if name == model and norm.startswith("local")]:
            words = []
            for norm in others:
                differences = paired(rmse, (model, local), (model, norm))
                if not len(differences):
                    continue
                _, low, high = mean_difference(differences)
                than = "better than" if high < 0 else "worse than" if low > 0 else NO_DIFFERENCE
                words.append(f"{than} {norm} ({sprmse[model, norm]:.2f})")
            if words:
                text = f"{title}: {local} ({sprmse[model, local]:.2f}) is {', '.join(words)}."
                lines.append(text)
    rival = best_rival(sprmse)
    chosen = chosen_network(runs)
    if rival and chosen:
        lines.append(
            f"The network that validation chooses, {arm_title(*chosen)} ({sprmse[chosen]:.2f}), "
            f"has {ratio(sprmse[chosen], sprmse[rival, '-'])} of the spRMSE of the best rival of "
            f"this test, {TITLES[rival]} ({sprmse[rival, '-']:.2f})."
        )
    return lines


def _rmse(stations: pd.DataFrame) -> dict[Arm, pd.DataFrame]:
    """Return the RMSE of the stations that count, a row for each seed, of each model and norm."""
    counted = stations[stations["readings"] >= MIN_READINGS]
    arms = counted.groupby(["model", "norm"], sort=False)
    return {
        (str(model), str(norm)): arm.pivot_table("rmse", "seed", "station")
        for (model, norm), arm in arms
    }


def station_rows(stations: pd.DataFrame) -> Rows:
    """Tabulate the RMSE at each station, of the runs of one protocol averaged over seeds.

    Parameters
    ----------
    stations : DataFrame
        From `Results.stations`.
    """
    facts = ["cell", "readings", "mean_reading"]
    table = stations.groupby("station", sort=False)[facts].first()
    for (model, norm), arm in stations.groupby(["model", "norm"], sort=False):
        table[arm_title(str(model), str(norm))] = arm.groupby("station")["rmse"].mean()
    header = ["station", "cell", "readings", "mean", *table.columns[len(facts) :]]
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
