"""`CityData`: the readings of one city, the one data type between preparation and experiment."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.files import atomic_path

if TYPE_CHECKING:
    import xarray as xr

STATION_COLUMNS = ("station", "latitude", "longitude", "cell")


class DataError(ValueError):
    """The data given is not what was expected; the message says what and where."""


@dataclass(frozen=True, eq=False, repr=False)
class CityData:
    """Readings of T times at S stations that stand in the cells of an (H, W) grid.

    Readings are kept per station, never as a dense (T, H, W) cube.

    Parameters
    ----------
    name : str
        The city, as shown in tables and figures.
    times : array of datetime64[s], shape (T,)
        Strictly increasing. Steps may be absent between them.
    stations : DataFrame, S rows
        Columns `station` (name), `latitude` and `longitude` (degrees) and `cell`
        (``row * width + column``, row 0 in the south), and whatever else is known of a station.
    values : array of float32, shape (T, S)
        Readings in `unit`; NaN where there is none.
    grid : (int, int)
        Height and width of the grid in cells.
    quantity, unit : str
        What was measured. Defaults ``"PM2.5"`` and ``"ug/m3"``.
    synthetic : bool
        Whether the readings were made by a generator. Shown wherever the data is shown.
    report : dict
        What the preparation dropped and why, counted. Anything JSON can hold.
    interval : timedelta64, optional
        The `step`, where the times do not tell it. Default: they do.

    Raises
    ------
    DataError
        If shapes, types, order or cells do not fit together.
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
        missing = [column for column in STATION_COLUMNS if column not in self.stations]
        if missing:
            raise DataError(f"stations lacks the columns {missing}; it has {[*self.stations]}")
        expected = (len(self.times), len(self.stations))
        if self.values.shape != expected or self.values.dtype != np.float32:
            raise DataError(
                f"values must be float32 of shape {expected} (times, stations), "
                f"got {self.values.dtype} of shape {self.values.shape}"
            )
        if self.times.dtype != np.dtype("datetime64[s]"):
            raise DataError(f"times must be datetime64[s], got {self.times.dtype}")
        if not (np.diff(self.times) > np.timedelta64(0, "s")).all():
            raise DataError("times must be strictly increasing")
        if self.stations["station"].duplicated().any():
            raise DataError("station names must be unique")
        cells = self.cells
        if ((cells < 0) | (cells >= self.grid[0] * self.grid[1])).any():
            raise DataError(f"cells must lie in the grid {self.grid}, got {cells.tolist()}")
        if len(np.unique(cells)) != len(cells):
            raise DataError(f"two stations share a cell: {cells.tolist()}")

    def __repr__(self) -> str:
        from data_prep.display import one_line

        return one_line(self)

    def _repr_html_(self) -> str:
        from data_prep.display import html

        return html(self)

    @cached_property
    def observed(self) -> npt.NDArray[np.bool_]:
        """Mask of real readings, shape (T, S); False = missing."""
        return ~np.isnan(self.values)

    @property
    def cells(self) -> npt.NDArray[np.int64]:
        """Cell of each station, shape (S,)."""
        return self.stations["cell"].to_numpy(np.int64)

    @property
    def step(self) -> np.timedelta64:
        """The distance between two times that is most common: a minute, an hour."""
        if self.interval is not None:
            return self.interval
        if len(self.times) < 2:
            raise DataError(f"{self.name} has {len(self.times)} times; a step needs two")
        distances, counts = np.unique(np.diff(self.times), return_counts=True)
        return np.timedelta64(distances[counts.argmax()])

    def select(self, stations: npt.NDArray[np.bool_]) -> "CityData":
        """Return the city as it is without the other stations; `stations` is a mask, shape (S,)."""
        kept = self.stations[stations].reset_index(drop=True)
        return replace(self, stations=kept, values=self.values[:, stations])

    def with_readings_of(self, other: "CityData") -> "CityData":
        """Return this city with the times and readings of another, its stations found by name.

        Stations of which `other` knows nothing have no readings. The step stays that of this city.

        Raises
        ------
        DataError
            If the two have no station in common, or one stands elsewhere (by 0.01 degrees or
            more), or quantity or unit differ.
        """
        if (self.quantity, self.unit) != (other.quantity, other.unit):
            raise DataError(
                f"expected {self.quantity} in {self.unit}, got {other.quantity} in {other.unit}"
            )
        found = pd.Index(other.stations["station"]).get_indexer(self.stations["station"])
        known = found >= 0
        if not known.any():
            raise DataError(f"{other.name} has no station of {self.name}")
        places = ["latitude", "longitude"]
        here = self.stations.loc[known, places].to_numpy(np.float64)
        there = other.stations.iloc[found[known]][places].to_numpy(np.float64)
        moved = (np.abs(here - there) >= 0.01).any(axis=1)
        if moved.any():
            names = self.stations["station"][known][moved].to_list()
            raise DataError(f"stations stand elsewhere than in {self.name}: {names}")
        values = np.full((len(other.times), len(found)), np.nan, np.float32)
        values[:, known] = other.values[:, found[known]]
        return replace(self, times=other.times, values=values, interval=self.step)

    def save(self, directory: Path) -> None:
        """Write `readings.parquet`, `stations.parquet` and `city.json` into `directory`.

        `city.json` is written last: a folder that has it is complete.
        """
        directory = Path(directory)
        (directory / "city.json").unlink(missing_ok=True)
        readings = pd.DataFrame(self.values, columns=self.stations["station"].to_list())
        readings.insert(0, "time", self.times)
        for name, table in (("readings", readings), ("stations", self.stations)):
            with atomic_path(directory / f"{name}.parquet") as path:
                table.to_parquet(path, index=False)
        facts = {
            "name": self.name,
            "grid": self.grid,
            "quantity": self.quantity,
            "unit": self.unit,
            "synthetic": self.synthetic,
            "report": self.report,
        }
        with atomic_path(directory / "city.json") as path:
            path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "CityData":
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If `directory` does not hold a saved city.
        """
        directory = Path(directory)
        try:
            facts = json.loads((directory / "city.json").read_text(encoding="utf-8"))
            readings = pd.read_parquet(directory / "readings.parquet")
            stations = pd.read_parquet(directory / "stations.parquet")
            times = readings.pop("time").to_numpy("datetime64[s]")
            values = readings.to_numpy(np.float32)
            facts["grid"] = tuple(facts["grid"])
            return cls(times=times, stations=stations, values=values, **facts)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{directory} does not hold a prepared city: {error}") from error

    def to_xarray(self) -> "xr.Dataset":
        """Return the city as a dataset with coordinates and units.

        Returns
        -------
        xarray.Dataset
            Variable `reading` of shape (T, S), dimensions `time` and `station`. The columns of
            `stations` are coordinates. Attributes hold the rest: what NetCDF cannot hold, `report`
            above all, as JSON. Names and units are those of the CF conventions where there are any.

        Examples
        --------
        >>> from data_prep import synthetic_city
        >>> dataset = synthetic_city(days=1).to_xarray()
        >>> dict(dataset.sizes)
        {'time': 1440, 'station': 31}
        >>> dataset["reading"].attrs["units"]
        'ug/m3'
        """
        from data_prep.conversion import to_dataset

        return to_dataset(self)

    @classmethod
    def from_xarray(cls, dataset: "xr.Dataset") -> "CityData":
        """Return the city of a dataset that `to_xarray` made, also through a NetCDF file.

        Parameters
        ----------
        dataset : xarray.Dataset
            As `to_xarray` returned it, or a part of it.

        Raises
        ------
        DataError
            If something is missing in `dataset` or does not fit together.

        Examples
        --------
        >>> from data_prep import synthetic_city
        >>> dataset = synthetic_city(days=1).to_xarray()
        >>> city = CityData.from_xarray(dataset.sel(time=slice("2020-07-06T12", None)))
        >>> city.values.shape
        (720, 31)
        """
        from data_prep.conversion import from_dataset

        return from_dataset(dataset)
