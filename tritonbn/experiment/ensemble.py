"""The mean of what the runs of several seeds estimate, which errs less than one of them."""

import pandas as pd

from data_prep.city import CityData
from tritonbn.experiment.config import MODELS, lacks_of
from tritonbn.experiment.scores import MIN_READINGS, city_scores, difference, station_scores
from tritonbn.experiment.table import TITLES, Rows, interval


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
        of the stations' RMSE with its 95 % interval; one row for each network of several seeds.
    """
    networks: dict[tuple[str, str], tuple[int, pd.Series, float]] = {}
    rivals: dict[str, tuple[pd.Series, float]] = {}
    for (model, norm), arm in estimates.groupby(["model", "norm"], sort=False):
        seeds = arm["seed"].nunique()
        if model in MODELS and (seeds < 2 or lacks_of(model)):
            continue
        together = mean_estimates(arm)
        table = station_scores(together, city)
        sprmse = city_scores(together, table)["sprmse"]
        rmse = table.loc[table["readings"] >= MIN_READINGS, "rmse"]
        if model in MODELS:
            networks[str(model), str(norm)] = seeds, rmse, sprmse
        else:
            rivals[str(model)] = rmse, sprmse
    best = min(rivals, key=lambda name: rivals[name][1], default=None)
    rows = [["model", "normalization", "runs", "spRMSE of their mean"]]
    if best:
        rows[0] += [f"/ {TITLES[best]}", "difference of RMSE", "95 % interval"]
    for (model, norm), (seeds, rmse, sprmse) in networks.items():
        row = [TITLES[model], norm, str(seeds), f"{sprmse:.2f}"]
        if best:
            of_rival, sprmse_of_rival = rivals[best]
            mean, low, high = difference(rmse.to_numpy()[None], of_rival.to_numpy()[None])
            row += [f"{sprmse / sprmse_of_rival:.2f}", f"{mean:+.2f}", interval(low, high)]
        rows.append(row)
    return rows
