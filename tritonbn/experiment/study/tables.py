"""The tables of scores as text, and what they say about local normalization."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.city import CityData
from tritonbn.experiment.baselines import BASELINES
from tritonbn.experiment.networks.network import Network
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.task.record import NO_NORM
from tritonbn.experiment.task.scores import MIN_READINGS, mean_difference
from tritonbn.tables import Rows

PUBLISHED = {
    ("convlstm-dense", "none"): 16.6354,
    ("convlstm-dense", "global"): 13.9992,
    ("convlstm-dense", "local"): 13.7041,
    ("cnn-dense", "none"): 18.6550,
    ("cnn-dense", "global"): 15.9571,
    ("cnn-dense", "local"): 14.1488,
}
"""The published spRMSE in ug/m3, for networks with the dense head; see `has_published`. According
to its code it is a mean absolute error, `spmae`."""

MEANS = ("time_rmse", "spmae", "bias", "r2", "skill", "validation_sprmse")
"""The other scores that are averaged over seeds."""

NO_DIFFERENCE = "not clearly different from"

SUSPICIOUS = 3.0
"""Times the RMSE of the median station, above which a sensor may be faulty."""

OTHERS = tuple(name for name, norm in NORMS.items() if not norm.local)
"""The norms that local normalization is compared with."""

Arm = tuple[str, str]
"""A network or baseline, and its norm."""


def title_of(model: str) -> str:
    """Return the title of a network or baseline in tables and figures."""
    return BASELINES[model].title if model in BASELINES else Network.named(model).title


def is_ablation(model: str) -> bool:
    """Whether a network is trained without some of its options."""
    return model not in BASELINES and bool(Network.named(model).without)


def arm_title(model: str, norm: str) -> str:
    """Return the title of a network with its norm, or of a baseline."""
    return title_of(model) if norm == NO_NORM else f"{title_of(model)} {norm}"


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Average the scores of one protocol over the seeds.

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


def has_published(city: CityData, protocol: str) -> bool:
    """Whether `PUBLISHED` has scores of a city and protocol."""
    return (city.name, city.quantity, protocol) == ("Antwerp", "PM2.5", "paper")


def score_rows(runs: pd.DataFrame, city: CityData) -> Rows:
    """Tabulate the scores of one protocol, one row per model and norm.

    The published scores, where there are any, have a column beside spMAE.
    """
    header = ["model", "norm", "spRMSE", "sd", "RMSE of a time", "published", "spMAE"]
    rows = [[*header, "bias", "R2", "skill", "validation", "seeds"]]
    columns = ("sprmse", "sd", MEANS[0], "published", *MEANS[1:])
    for arm in summarize(runs).to_dict("records"):
        model, norm = arm["model"], arm["norm"]
        scores = {**arm, "published": PUBLISHED.get((model, norm), float("nan"))}
        numbers = [_number(scores[name]) for name in columns]
        seeds = "-" if model in BASELINES else str(arm["seeds"])
        rows.append([title_of(model), norm, *numbers, seeds])
    if not has_published(city, runs["protocol"].iloc[0]):
        for row in rows:
            del row[header.index("published")]
    return rows


def difference_rows(stations: pd.DataFrame) -> Rows:
    """Tabulate how networks differ from the best baseline, and local normalization from others.

    A network that is trained without an option is compared with the one that has it.

    Parameters
    ----------
    stations : DataFrame
        From `Results.stations`.

    Returns
    -------
    Rows
        Mean difference of the RMSE at the stations, with its 95 % interval; negative if the first
        of the two is better.
    """
    rmse = _rmse(stations)
    baseline = best_baseline(sprmse_of(rmse))
    rows = [["model", "norm", "compared with", "difference of RMSE", "95 % interval"]]
    for model, norm in rmse:
        if model in BASELINES:
            continue
        beside: dict[str, Arm] = {}
        if is_ablation(model):
            whole = replace(Network.named(model), without=()).name
            if (whole, norm) in rmse:
                beside[title_of(whole)] = whole, norm
        elif baseline:
            beside[title_of(baseline)] = baseline, NO_NORM
        if norm in NORMS and NORMS[norm].local:
            beside |= {other: (model, other) for other in OTHERS if (model, other) in rmse}
        for name, other in beside.items():
            differences = paired(rmse, (model, norm), other)
            if len(differences):
                mean, low, high = mean_difference(differences)
                rows.append([title_of(model), norm, name, f"{mean:+.2f}", interval(low, high)])
    return rows


def interval(low: float, high: float) -> str:
    """Format an interval of `mean_difference`; NaN means that there is none."""
    return "-" if np.isnan(low) else f"{low:+.2f} .. {high:+.2f}"


def sprmse_of(rmse: Mapping[Arm, pd.DataFrame]) -> dict[Arm, float]:
    """Average the RMSE over stations and seeds."""
    return {arm: float(of_stations.to_numpy().mean()) for arm, of_stations in rmse.items()}


def best_baseline(sprmse: Mapping[Arm, float]) -> str | None:
    """Return the baseline with the lowest spRMSE; None if there is no baseline."""
    baselines = [model for model, _ in sprmse if model in BASELINES]
    return min(baselines, key=lambda name: sprmse[name, NO_NORM], default=None)


def ratio(score: float, of_baseline: float) -> str:
    """Format the ratio of two scores."""
    return f"{score / of_baseline:.2f}" if of_baseline else "-"


def paired(rmse: Mapping[Arm, pd.DataFrame], arm: Arm, other: Arm) -> npt.NDArray[np.float64]:
    """Return the differences of two arms, (seeds, stations), for the seeds that both have.

    A baseline has no seeds; it is compared with every seed of the network.
    """
    of_arm, of_other = rmse[arm], rmse[other]
    if other[1] != NO_NORM:
        seeds = of_arm.index.intersection(of_other.index)
        of_arm, of_other = of_arm.loc[seeds], of_other.loc[seeds]
    differences: npt.NDArray[np.float64] = of_arm.to_numpy() - of_other.to_numpy()
    return differences


def chosen_network(runs: pd.DataFrame) -> Arm | None:
    """Return the network with the best validation score among the runs of one protocol.

    Parameters
    ----------
    runs : DataFrame
        From `Results.runs`.

    Returns
    -------
    (model, norm) or None
        With the lowest mean `validation_sprmse`; ablations do not count. None if there is none.
    """
    scores = summarize(runs).set_index(["model", "norm"])["validation_sprmse"]
    networks = [arm for arm in scores.index if arm[0] not in BASELINES and not is_ablation(arm[0])]
    return min(networks, key=scores.__getitem__, default=None)


def verdicts(runs: pd.DataFrame, stations: pd.DataFrame) -> list[str]:
    """State what the results of one protocol say about local normalization and the best baseline.

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
    for model, local in rmse:
        if local not in NORMS or not NORMS[local].local:
            continue
        words = []
        for norm in [norm for norm in OTHERS if (model, norm) in rmse]:
            differences = paired(rmse, (model, local), (model, norm))
            if not len(differences):
                continue
            _, low, high = mean_difference(differences)
            if np.isnan(low):
                continue
            than = "better than" if high < 0 else "worse than" if low > 0 else NO_DIFFERENCE
            words.append(f"{than} {norm} ({sprmse[model, norm]:.2f})")
        if words:
            score = f"{title_of(model)}: {local} ({sprmse[model, local]:.2f})"
            lines.append(f"{score} is {_joined(words)}.")
    baseline = best_baseline(sprmse)
    chosen = chosen_network(runs)
    if baseline and chosen:
        of_chosen, best = sprmse[chosen], sprmse[baseline, NO_NORM]
        times = ratio(of_chosen, best)
        lines.append(
            f"The network with the best validation score is {arm_title(*chosen)}. Its spRMSE in "
            f"the test, {of_chosen:.2f}, is {times} times that of the best baseline, "
            f"{title_of(baseline)} ({best:.2f})."
        )
    return lines


def _joined(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def suspicious_stations(stations: pd.DataFrame) -> list[str]:
    """Name stations whose RMSE is so high for every method that the sensor may be faulty.

    Parameters
    ----------
    stations : DataFrame
        From `Results.stations`, of one protocol.

    Returns
    -------
    list of str
        One sentence for each station whose RMSE, as the median over all networks and baselines, is
        more than `SUSPICIOUS` times that of the median station.
    """
    rmse = pd.concat([of_arm.mean() for of_arm in _rmse(stations).values()], axis=1).median(axis=1)
    typical = rmse.median()
    return [
        f"Station {name} has an RMSE of {score:.2f} as the median over all methods, "
        f"{score / typical:.1f} times that of the median station: its sensor may be faulty."
        for name, score in rmse.sort_values(ascending=False).items()
        if score > SUSPICIOUS * typical
    ]


def _rmse(stations: pd.DataFrame) -> dict[Arm, pd.DataFrame]:
    """Return the RMSE at the scored stations, one row per seed, for each model and norm."""
    counted = stations[stations["readings"] >= MIN_READINGS]
    arms = counted.groupby(["model", "norm"], sort=False)
    return {
        (str(model), str(norm)): arm.pivot_table("rmse", "seed", "station")
        for (model, norm), arm in arms
    }


def station_rows(stations: pd.DataFrame) -> Rows:
    """Tabulate the RMSE at each station under one protocol, averaged over the seeds.

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
