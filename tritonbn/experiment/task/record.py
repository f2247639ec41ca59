"""`Record`: what one network or baseline estimated in a city, its scores and its cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from data_prep.city import CityData
from tritonbn.experiment.task.parts import Part
from tritonbn.experiment.task.scores import city_scores, city_sprmse, skill, station_scores

KEYS = ("protocol", "model", "norm", "seed")
"""The columns that identify the rows of tables."""

COLUMNS = (
    *KEYS,
    *("sprmse", "spmae", "mean_reading", "stations", "time_rmse", "bias", "r2", "skill"),
    *("validation_sprmse", "steps", "seconds", "device"),
)
"""The columns of a table of scores."""

REFERENCE = "idw"
"""The baseline that skill is measured against."""

NO_NORM = "-"
"""The norm in the rows of baselines."""


@dataclass(frozen=True)
class Record:
    """What one network or baseline estimated, in all folds of a protocol.

    Parameters
    ----------
    protocol : str
        A key of `PROTOCOLS`.
    model : str
        Name of the network or baseline.
    norm : str
        Its normalization; `NO_NORM` for a baseline.
    seed : int
        0 for a baseline.
    estimates : mapping
        The estimates, one row per scored reading, of each of `TESTED_PARTS`.
    steps : int
        Training steps of all folds. Default 0.
    seconds : float
        Time spent in training, or in fitting and estimating. Default 0.
    device : str
        Where the computation took place. Default ``"cpu"``.
    history : list of dict
        One entry for each validation during training. Default: none.
    """

    protocol: str
    model: str
    norm: str
    seed: int
    estimates: Mapping[Part, pd.DataFrame]
    steps: int = 0
    seconds: float = 0.0
    device: str = "cpu"
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> dict[str, Any]:
        """The values that identify the rows of this record."""
        return {name: getattr(self, name) for name in KEYS}

    def scores(self, city: CityData, reference: pd.DataFrame) -> dict[str, Any]:
        """Return one row of a table of scores.

        Parameters
        ----------
        city : CityData
            The city of the estimates.
        reference : DataFrame
            The estimates of `REFERENCE` in the test, from which the skill is computed.

        Returns
        -------
        dict
            The `COLUMNS`: the key; the scores of the test; ``validation_sprmse``, the spRMSE of
            the validation part, where stations are hidden or held out as in the test; and the
            training steps, time and device.

        Raises
        ------
        DataError
            If too few readings are scored.
        """
        test = self.estimates["test"]
        return {
            **self.key,
            **city_scores(test, station_scores(test, city)),
            "skill": skill(test, reference),
            "validation_sprmse": city_sprmse(self.estimates["validation"], city),
            "steps": self.steps,
            "seconds": self.seconds,
            "device": self.device,
        }

    def stations(self, city: CityData) -> pd.DataFrame:
        """Return `station_scores` of the test, with the key in the first columns."""
        table = station_scores(self.estimates["test"], city)
        return table.assign(**self.key)[[*KEYS, *table.columns]]
