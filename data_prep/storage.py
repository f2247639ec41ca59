"""A city in a folder: what `CityData.save` and `CityData.load` describe."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep.city import CityData, DataError
from data_prep.files import atomic_path, only_writer


def save(city: CityData, directory: Path) -> None:
    """Write a city to a folder."""
    readings = pd.DataFrame(city.values, columns=city.stations["station"].to_list())
    readings.insert(0, "time", city.times)
    facts = {
        "name": city.name,
        "grid": city.grid,
        "quantity": city.quantity,
        "unit": city.unit,
        "synthetic": city.synthetic,
        "report": city.report,
    }
    if city.interval is not None:
        facts["interval_seconds"] = int(city.interval / np.timedelta64(1, "s"))
    with (
        only_writer(directory),
        atomic_path(directory / "city.json") as facts_path,  # replaced last
        atomic_path(directory / "readings.parquet") as readings_path,
        atomic_path(directory / "stations.parquet") as stations_path,  # first: see `tables_in`
    ):
        readings.to_parquet(readings_path, index=False)
        city.stations.to_parquet(stations_path, index=False)
        facts_path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        (directory / "city.json").unlink(missing_ok=True)


def load(directory: Path) -> CityData:
    """Read a city from the folder that `save` wrote."""
    if not directory.exists():
        raise DataError(f"{directory} does not exist; expected the folder of a prepared city")
    if not (directory / "city.json").exists():
        raise DataError(
            f"{directory} does not hold a prepared city; prepare it first: "
            f"tritonbn data prepare {directory} --out ..."
        )
    try:
        facts = json.loads((directory / "city.json").read_text(encoding="utf-8"))
        readings = pd.read_parquet(directory / "readings.parquet")
        stations = pd.read_parquet(directory / "stations.parquet")
        times = readings.pop("time").to_numpy("datetime64[s]")
        if readings.columns.to_list() != stations["station"].to_list():
            raise ValueError("the columns of readings.parquet must be the stations")
        values = readings.to_numpy(np.float32)
        if (seconds := facts.pop("interval_seconds", None)) is not None:
            facts["interval"] = np.timedelta64(seconds, "s")
        return CityData(times=times, stations=stations, values=values, **facts)
    except Exception as error:  # files from elsewhere raise errors of many types
        raise DataError(f"{directory} does not hold a prepared city: {error}") from error
