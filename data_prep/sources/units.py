"""Units of mass concentrations, in the spellings of data sources."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.assemble import MISSING_CODES

_FACTORS = {"ug/m3": 1.0, "mg/m3": 1e3, "ng/m3": 1e-3}
_SPELLINGS = str.maketrans({"\N{MICRO SIGN}": "u", "\N{GREEK SMALL LETTER MU}": "u", "³": "3"})


def convert(
    values: npt.NDArray[np.float64], factors: npt.NDArray[np.float64] | float
) -> npt.NDArray[np.float64]:
    """Multiply values by the factors of `to_ug_m3`; codes for missing readings remain."""
    return np.where(np.isin(values, MISSING_CODES), values, values * factors)


def to_ug_m3(units: "pd.Series[str]") -> npt.NDArray[np.float64]:
    """Return the factors that convert values to ug/m3, NaN for other units.

    Parameters
    ----------
    units : Series of str
        Such as ``µg/m³``, with either of the two micro signs, ``ug.m-3``, ``mg/m3`` or
        ``Micrograms/cubic meter (LC)``, which is at local conditions.

    Examples
    --------
    >>> import pandas as pd
    >>> from data_prep.sources.units import to_ug_m3
    >>> to_ug_m3(pd.Series(["µg/m³", "mg/m3", "ppm"]))
    array([   1., 1000.,   nan])
    """
    factors = {unit: _FACTORS.get(_plain(unit), np.nan) for unit in units.unique()}
    return units.map(factors).to_numpy(np.float64)


def _plain(unit: str) -> str:
    text = unit.strip().lower().translate(_SPELLINGS).replace("^", "").replace(" ", "")
    text = text.removesuffix("(lc)").replace("micrograms", "ug")
    return text.replace(".m-3", "/m3").replace("ugm-3", "ug/m3").replace("/cubicmeter", "/m3")
