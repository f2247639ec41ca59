"""Ensembles: the mean of the estimates of several seeds."""

import pandas as pd

from data_prep.city import CityData
from tritonbn.experiment.baselines import BASELINES
from tritonbn.experiment.study.tables import (
    Arm,
    best_baseline,
    interval,
    is_ablation,
    paired,
    ratio,
    sprmse_of,
    title_of,
)
from tritonbn.experiment.task.record import NO_NORM
from tritonbn.experiment.task.scores import MIN_READINGS, mean_difference, station_scores
from tritonbn.tables import Rows


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
    """Compare the ensembles of one protocol with the best baseline.

    Parameters
    ----------
    estimates : DataFrame
        From `Results.estimates`, of one protocol.
    city : CityData
        Gives the names of the stations.

    Returns
    -------
    Rows
        One row for each network of several seeds, without ablations: the spRMSE of the ensemble,
        its ratio to that of the best baseline, and the mean difference of the RMSE at the stations
        with its 95 % interval.
    """
    seeds: dict[Arm, int] = {}
    rmse: dict[Arm, pd.DataFrame] = {}
    for (model, norm), of_arm in estimates.groupby(["model", "norm"], sort=False):
        count = of_arm["seed"].nunique()
        if model not in BASELINES and (count < 2 or is_ablation(str(model))):
            continue
        table = station_scores(mean_estimates(of_arm), city)
        arm = str(model), str(norm)
        seeds[arm] = count
        rmse[arm] = table.loc[table["readings"] >= MIN_READINGS, ["rmse"]].T
    sprmse = sprmse_of(rmse)
    baseline = best_baseline(sprmse)
    rows = [["model", "norm", "runs", "spRMSE of the ensemble"]]
    if baseline:
        rows[0] += [f"/ {title_of(baseline)}", "difference of RMSE", "95 % interval"]
    for model, norm in rmse:
        if model in BASELINES:
            continue
        score = sprmse[model, norm]
        row = [title_of(model), norm, str(seeds[model, norm]), f"{score:.2f}"]
        if baseline:
            mean, low, high = mean_difference(paired(rmse, (model, norm), (baseline, NO_NORM)))
            row += [ratio(score, sprmse[baseline, NO_NORM]), f"{mean:+.2f}", interval(low, high)]
        rows.append(row)
    return rows
