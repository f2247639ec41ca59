"""`CityData`: the readings of one city. Data sources return it and the experiment uses it."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    import xarray as xr

_LONGEST_MESSAGE = 800


class DataError(ValueError):
    """The data is not as expected. The message says what was given and what was expected.

    It is one line of printable characters, whatever was given.

    Examples
    --------
    >>> from data_prep.grid import cells_of
    >>> cells_of(latitude=[], longitude=[])
    Traceback (most recent call last):
    data_prep.city.DataError: latitude must be one finite number per station, got []
    """

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        if len(line) > _LONGEST_MESSAGE:
            half = _LONGEST_MESSAGE // 2
            line = f"{line[:half].rstrip()} ... {line[-half:].lstrip()}"
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))


class DataWarning(UserWarning):
    """The data can be read, but something about it is probably wrong.

    Examples
    --------
    >>> import warnings
    >>> from data_prep import DataWarning, load_city
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", DataWarning)  # stop at such data
    ...     city = load_city("synthetic", days=1)
    """


def most_common_step(times: npt.NDArray[np.datetime64]) -> np.timedelta64:
    """Return the most common distance between neighbours of at least two times."""
    distances, counts = np.unique(np.diff(times), return_counts=True)
    return np.timedelta64(distances[counts.argmax()])


@dataclass(frozen=True, eq=False, repr=False)
class CityData:
    """Readings at T times and S stations, each of which has a cell of an (H, W) grid.

    Parameters
    ----------
    name : str
        Name of the city, as shown in tables and figures.
    times : array of datetime64[s], shape (T,)
        Strictly increasing. Gaps are allowed.
    stations : DataFrame, S rows
        Columns `station` (name), `latitude` and `longitude` (degrees) and `cell`
        (``row * width + column``, row 0 in the south). Further columns are kept.
    values : array of float32, shape (T, S)
        Readings in `unit`, NaN where missing.
    grid : (int, int)
        Height and width of the grid in cells.
    quantity, unit : str
        Measured quantity and its unit. Default ``"PM2.5"`` and ``"ug/m3"``.
    synthetic : bool
        Whether the readings are synthetic, which figures and tables mention. Default False.
    report : dict
        How many readings the preparation dropped and why. Must be serializable as JSON.
    interval : timedelta64, optional
        The `step`, if it cannot be derived from `times`. Default: derived.

    Raises
    ------
    DataError
        If shapes, types, order or cells are inconsistent, or a value is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from data_prep import CityData
    >>> city = CityData(
    ...     name="Antwerp",
    ...     times=np.array(["2020-07-01T10:00", "2020-07-01T11:00"], "datetime64[s]"),
    ...     stations=pd.DataFrame(
    ...         {
    ...             "station": ["Borgerhout", "Park Spoor Noord"],
    ...             "latitude": [51.2096, 51.2286],
    ...             "longitude": [4.4318, 4.4285],
    ...             "cell": [366, 621],
    ...         }
    ...     ),
    ...     values=np.array([[7.5, 5.0], [8.0, np.nan]], np.float32),
    ...     grid=(32, 32),
    ... )
    >>> city  # doctest: +ELLIPSIS
    <CityData Antwerp: 2 stations, 2 times, ..., step 60 min, grid 32x32, 25.0% missing>
    >>> city.observed
    array([[ True,  True],
           [ True, False]])
    """

    name: str
    times: npt.NDArray[np.datetime64]
    stations: pd.DataFrame
    values: npt.NDArray[np.float32]
    grid: tuple[int, int]
    quantity: str = "PM2.5"
    unit: str = "ug/m3"
    synthetic: bool = False
    report: dict[str, Any] = field(default_factory=dict)
    interval: np.timedelta64 | None = None

    def __post_init__(self) -> None:
        from data_prep.grid import checked_grid
        from data_prep.validation import validate

        object.__setattr__(self, "grid", checked_grid(self.grid))
        validate(self)

    def __repr__(self) -> str:
        from data_prep.display import one_line

        return one_line(self)

    def _repr_html_(self) -> str:
        from data_prep.display import html

        return html(self)

    @cached_property
    def observed(self) -> npt.NDArray[np.bool_]:
        """Mask of readings that exist, shape (T, S); False where missing."""
        return ~np.isnan(self.values)

    @property
    def cells(self) -> npt.NDArray[np.int64]:
        """Cell of each station, shape (S,)."""
        return self.stations["cell"].to_numpy(np.int64)

    @property
    def step(self) -> np.timedelta64:
        """The most common distance between two times.

        Raises
        ------
        DataError
            If there is only one time and no `interval`.
        """
        if self.interval is not None:
            return self.interval
        if len(self.times) < 2:
            raise DataError(
                f"the step of {self.name} needs at least two times, got {len(self.times)}"
            )
        return most_common_step(self.times)

    def select(self, stations: npt.NDArray[np.bool_]) -> "CityData":
        """Return the city with some of its stations only.

        The stations keep their cells. The positions of the cells, such as the coordinates of a
        field, are inferred from the stations of a city: without those at its edges they differ by
        about the size of a cell, and by more if few stations are left.

        Parameters
        ----------
        stations : array of bool, shape (S,)
            True for the stations to keep.
        """
        kept = self.stations[stations].reset_index(drop=True)
        return replace(self, stations=kept, values=self.values[:, stations])

    def with_readings_of(self, other: "CityData") -> "CityData":
        """Return this city with the times and readings of another one.

        Stations are matched by name. Those that `other` lacks have no readings. The step remains
        that of this city.

        Parameters
        ----------
        other : CityData
            Has the same quantity and unit, and at least one common station.

        Raises
        ------
        DataError
            If there is no common station, a common station differs in position by 0.01 degrees or
            more, or quantity or unit differ.
        """
        if (self.quantity, self.unit) != (other.quantity, other.unit):
            raise DataError(
                f"expected {self.quantity} in {self.unit}, got {other.quantity} in {other.unit}"
            )
        found = pd.Index(other.stations["station"]).get_indexer(self.stations["station"])
        known = found >= 0
        if not known.any():
            raise DataError(f"{other.name} and {self.name} have no common station")
        places = ["latitude", "longitude"]
        here = self.stations.loc[known, places].to_numpy(np.float64)
        there = other.stations.iloc[found[known]][places].to_numpy(np.float64)
        around = (here - there + [90, 180]) % 360 - [90, 180]  # also across the date line
        moved = (np.abs(around) >= 0.01).any(axis=1)
        if moved.any():
            names = self.stations["station"][known][moved].to_list()
            raise DataError(
                f"stations of {other.name} have other positions in {self.name}: {names}"
            )
        values = np.full((len(other.times), len(found)), np.nan, np.float32)
        values[:, known] = other.values[:, found[known]]
        return replace(self, times=other.times, values=values, interval=self.step)

    def save(self, directory: Path) -> None:
        """Write `readings.parquet`, `stations.parquet` and `city.json` to a folder.

        `city.json` is the last file to appear, so a folder that contains it is complete. If the
        disk is full, the folder is as before.

        Parameters
        ----------
        directory : Path
            Is created if necessary.

        Raises
        ------
        FolderInUseError
            If another process is writing a city to this folder.
        OSError
            If a file cannot be written.
        """
        from data_prep.storage import save

        save(self, Path(directory))

    @classmethod
    def load(cls, directory: Path) -> "CityData":
        """Read a city from the folder that `save` wrote.

        Raises
        ------
        DataError
            If `directory` does not hold a saved city.
        """
        from data_prep.storage import load

        return load(Path(directory))

    def to_xarray(self) -> "xr.Dataset":
        """Convert the city to a dataset with coordinates and units.

        Returns
        -------
        xarray.Dataset
            The variable `reading` has the dimensions `time` and `station`. The columns of
            `stations` are coordinates. Everything else is in the attributes, `report` as JSON.
            Standard names follow the CF conventions. It can be written as NetCDF.

        Examples
        --------
        >>> from data_prep import synthetic_city
        >>> dict(synthetic_city(days=1).to_xarray().sizes)
        {'time': 1440, 'station': 31}
        """
        from data_prep.conversion import to_dataset

        return to_dataset(self)

    @classmethod
    def from_xarray(cls, dataset: "xr.Dataset") -> "CityData":
        """Convert a dataset back to a city.

        Parameters
        ----------
        dataset : xarray.Dataset
            From `to_xarray` or a NetCDF file of it; it may be a selection of times and stations.

        Raises
        ------
        DataError
            If `dataset` lacks something or is inconsistent.

        Examples
        --------
        >>> from data_prep import CityData, synthetic_city
        >>> dataset = synthetic_city(days=1).to_xarray()
        >>> city = CityData.from_xarray(dataset.sel(time=slice("2020-07-06T12", None)))
        >>> city.values.shape
        (720, 31)
        """
        from data_prep.conversion import from_dataset

        return from_dataset(dataset)
