"""`Scaler`: one minimum and one maximum over all stations, which become 0 and 1."""

from dataclasses import dataclass

import numpy as np

from data_prep.city import CityData, DataError
from tritonbn.experiment.task.parts import DEFAULT_PARTS, PARTS, split

SCALINGS = {
    "maximum": "maximum",
    "percentile": "99th percentile",
    "all": "maximum of all parts",
}
"""Which reading becomes 1: the maximum or the 99th percentile of the training part, or, as
published, the maximum of all readings, which leaks information about the test into training."""

USUAL = dict.fromkeys(PARTS, "maximum") | {"161:26:46": "all"}
"""The scaling for each way to divide the times, a key of `PARTS`; it is not part of names."""


@dataclass(frozen=True)
class Scaler:
    """One minimum and one maximum over all stations, which become 0 and 1.

    Parameters
    ----------
    minimum, maximum : float
        In the unit of the readings.
    """

    minimum: float
    maximum: float

    @classmethod
    def fit(cls, city: CityData, scaling: str = "maximum", parts: str = DEFAULT_PARTS) -> "Scaler":
        """Take minimum and maximum from the observed readings.

        Parameters
        ----------
        city : CityData
        scaling : str
            A key of `SCALINGS`. Default ``"maximum"``.
        parts : str
            A key of `PARTS`. Default ``"6:2:2"``.

        Raises
        ------
        DataError
            If there are no readings, or the reading that becomes 1 is the lowest one.
        """
        part = slice(None) if scaling == "all" else split(city, parts)["train"]
        readings = city.values[part][city.observed[part]]
        if readings.size == 0 or (lowest := readings.min()) == readings.max():
            raise DataError(
                f"the training part of {city.name} needs two different readings to scale by"
            )
        highest = np.quantile(readings, 0.99) if scaling == "percentile" else readings.max()
        if highest == lowest:
            raise DataError(
                f"the 99th percentile of the readings of {city.name} is their minimum, "
                f"{highest:g} {city.unit}; choose the scaling maximum"
            )
        return cls(float(lowest), float(highest))
