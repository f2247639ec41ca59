"""The mean of what the runs of several seeds estimate, which errs less than one of them."""

import pandas as pd

from data_prep.city import CityData
from tritonbn.experiment.config import NETWORKS, lacks_of
from tritonbn.experiment.scores import MIN_READINGS, mean_difference, station_scores
from tritonbn.experiment.table import (
    TITLES,
    Arm,
    Rows,
    best_rival,
    interval,
    paired,
    ratio,
    sprmse_of,
)


def mean_estimates(estimates: pd.DataFrame) -> pd.DataFrame:
    """Average the estimates of each reading over the seeds of one network.

    Parameters
    ----------
    estimates : DataFrame
        From `Results.estimates`, of one protocol, model and norm.
    """
    of_readings = estimates.groupby(["time", "station"], sort=False)
    return of_readings[["reading", "estimate"]].mean().reset_index()


def ensemble_rows(estimates: pd.DataFrame, city: CityData) -> Rows:
    """Tabulate the ensembles of one protocol beside its best rival.

    Parameters
    ----------
    estimates : DataFrame
        From `Results.estimates`, of one protocol.
    city : CityData
        Names the stations.

    Returns
    -------
    Rows
        spRMSE of the mean of the runs, its ratio to that of the best rival, and the mean difference
        of the stations' RMSE with its 95 % interval; one row for each whole network of several
        seeds.
    """
    seeds: dict[Arm, int] = {}
    rmse: dict[Arm, pd.DataFrame] = {}
    for (model, norm), of_arm in estimates.groupby(["model", "norm"], sort=False):
        count = of_arm["seed"].nunique()
        if model in NETWORKS and (count < 2 or lacks_of(model)):
            continue
        table = station_scores(mean_estimates(of_arm), city)
        arm = str(model), str(norm)
        seeds[arm] = count
        rmse[arm] = table.loc[table["readings"] >= MIN_READINGS, ["rmse"]].T
    sprmse = sprmse_of(rmse)
    rival = best_rival(sprmse)
    rows = [["model", "normalization", "runs", "spRMSE of their mean"]]
    if rival:
        rows[0] += [f"/ {TITLES[rival]}", "difference of RMSE", "95 % interval"]
    for model, norm in rmse:
        if model not in NETWORKS:
            continue
        score = sprmse[model, norm]
        row = [TITLES[model], norm, str(seeds[model, norm]), f"{score:.2f}"]
        if rival:
            mean, low, high = mean_difference(paired(rmse, (model, norm), (rival, "-")))
            row += [ratio(score, sprmse[rival, "-"]), f"{mean:+.2f}", interval(low, high)]
        rows.append(row)
    return rows
