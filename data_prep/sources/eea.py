"""The Parquet files of the air quality download service of the European Environment Agency."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.city import DataError
from data_prep.dropped import Dropped, count_dropped
from data_prep.sources.files import File
from data_prep.sources.importer import Importer, Rows
from data_prep.sources.table import ROWS, numbers, parse_zone, read_csv
from data_prep.sources.units import convert, to_ug_m3

PM25 = 6001
"""The code of PM2.5 in the vocabulary of pollutants."""

_SCHEMA = pa.schema(
    {
        "Samplingpoint": pa.string(),
        "Pollutant": pa.int64(),
        "Start": pa.timestamp("s"),
        "Value": pa.float64(),
        "Unit": pa.string(),
        "AggType": pa.string(),
        "Validity": pa.int64(),
    }
)

_PLACE = {"Latitude": "latitude", "Longitude": "longitude"}
_FACTS = {
    "Air Quality Station EoI Code": "station_code",
    "Air Quality Station Name": "station_name",
}
_COUNTRY = r"^[A-Z]{2}/"


def _rows(files: Iterator[File], dropped: Dropped, *, metadata: str | Path, time_zone: str) -> Rows:
    zone = parse_zone(time_zone)
    points = _sampling_points(File(Path(metadata)))
    for file in files:
        for table in _read(file):
            factor = to_ug_m3(table["Unit"].fillna(""))
            right = count_dropped(
                dropped,
                {
                    "other_quantity": table["Pollutant"] != PM25,
                    "other_period": table["AggType"] != "hour",
                    "invalid": ~(table["Validity"] > 0),
                    "other_unit": np.isnan(factor),
                },
            )
            table, factor = table[right], factor[right]
            start = table["Start"].dt.tz_localize(zone, nonexistent="NaT", ambiguous="NaT")
            if (lost := start.isna()).any():
                row = int(lost.to_numpy(bool).argmax())
                raise DataError(
                    f"{file}: Start must be a time that exists once in {time_zone}, got "
                    f"{table['Start'].iloc[row]} in row {int(table.index[row]) + 1}"
                )
            point = table["Samplingpoint"].str.replace(_COUNTRY, "", regex=True)
            yield points.reindex(point).assign(
                station=table["Samplingpoint"].to_numpy(),
                time=start.dt.tz_convert(None).to_numpy("datetime64[s]").astype(np.int64),
                value=convert(table["Value"].to_numpy(), factor),
            )


def _read(file: File) -> Iterator[pd.DataFrame]:
    """Yield the columns that are needed; the index counts the rows of the file."""
    try:
        parquet = pq.ParquetFile(io.BytesIO(file.read()))
        given = parquet.schema_arrow
        if wrong := [name for name in _SCHEMA.names if given.names.count(name) != 1]:
            raise DataError(f"{file} must have the columns {wrong} once, got {given.names}")
        start = given.field("Start").type
        if not pa.types.is_timestamp(start) or start.tz is not None:
            raise DataError(f"{file}: Start must be timestamps without a time zone, got {start}")
        rows = 0
        for batch in parquet.iter_batches(batch_size=ROWS, columns=_SCHEMA.names):
            batch = batch.select(_SCHEMA.names).cast(_SCHEMA)
            batch.validate(full=True)  # else text that is not UTF-8 is noticed much later
            table = batch.to_pandas()
            yield table.set_index(pd.RangeIndex(rows, rows + len(table)))
            rows += len(table)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as Parquet of the EEA: {error}") from error


def _sampling_points(file: File) -> pd.DataFrame:
    """Return the first position of each sampling point, and facts, by its name."""
    tables = []
    for table in read_csv(file, ["Sampling Point Id", *_PLACE], optional=[*_FACTS]):
        place = {name: numbers(table[name], file) for name in _PLACE}
        tables.append(table.assign(**place).dropna(subset=[*_PLACE]))
    points = pd.concat(tables).rename(columns=_PLACE | _FACTS)
    name = points.pop("Sampling Point Id").str.strip().str.replace(_COUNTRY, "", regex=True)
    return points.set_index(name).loc[~name.duplicated().to_numpy()]


EEA = Importer(
    help="files of the European Environment Agency (Parquet, a sampling point each)",
    licence="free to re-use if the source is acknowledged, see eea.europa.eu/legal/copyright; "
    "cite the European Environment Agency",
    patterns=("*.parquet",),
    rows=_rows,
)
"""Stations are sampling points; the code and the name of their station in the columns
`station_code` and `station_name`. Only valid hourly readings count. Times mark the beginning of the
hour, in the time zone of the option `time_zone`. Positions are those of the option `metadata`, the
table of the sampling points."""
