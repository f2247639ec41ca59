"""The RMSE of each model by concentration, hour of the day and class of the station."""

from collections.abc import Callable
from functools import partial

import pandas as pd

from data_prep.city import CityData
from tritonbn.experiment.study.tables import arm_title
from tritonbn.experiment.task.scores import classes, concentrations, hours, rmse_by
from tritonbn.tables import Rows


def breakdown_rows(estimates: pd.DataFrame, city: CityData) -> Rows:
    """Tabulate the RMSE of groups of readings, averaged over the seeds, for each model.

    Parameters
    ----------
    estimates : DataFrame
        From `Results.estimates`, of one protocol.
    city : CityData
        Its stations may have a column `class`.
    """
    arms = {
        arm_title(str(model), str(norm)): [seed for _, seed in arm.groupby("seed")]
        for (model, norm), arm in estimates.groupby(["model", "norm"], sort=False)
    }
    rows = [["readings", "number", *arms]]
    kinds: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
        "concentration": concentrations,
        "hour": hours,
        "class": partial(classes, city=city),
    }
    for title, kind in kinds.items():
        columns = [
            pd.concat([rmse_by(seed, kind(seed)) for seed in seeds], axis=1).mean(axis=1)
            for seeds in arms.values()
        ]
        (any_seed, *_), *_ = arms.values()
        counts = kind(any_seed).value_counts()
        for group in columns[0].index:
            rmse = (f"{column[group]:.2f}" for column in columns)
            rows.append([f"{title} {group}", str(counts[group]), *rmse])
    return rows
