"""The archive of OpenAQ: ``records/csv.gz/locationid=.../year=.../month=...``."""

from collections.abc import Iterator

import numpy as np

from data_prep.dropped import Dropped, count_dropped
from data_prep.sources.files import File
from data_prep.sources.importer import Importer, Rows
from data_prep.sources.table import numbers, read_csv, seconds
from data_prep.sources.units import convert, to_ug_m3

MISSING_CODE = -9.999
"""Occurs besides -999, which counts as missing in every source."""

_COLUMNS = ("location_id", "location", "datetime", "lat", "lon", "parameter", "units", "value")


def _rows(files: Iterator[File], dropped: Dropped) -> Rows:
    for file in files:
        for table in read_csv(file, _COLUMNS):
            factor = to_ug_m3(table["units"])
            right = count_dropped(
                dropped,
                {
                    "other_quantity": table["parameter"].str.strip().str.lower() != "pm25",
                    "other_unit": np.isnan(factor),
                },
            )
            table, factor = table[right], factor[right]
            value = numbers(table["value"], file)
            yield table[["location"]].assign(
                station=table["location_id"],
                latitude=numbers(table["lat"], file),
                longitude=numbers(table["lon"], file),
                time=seconds(table["datetime"], file),
                value=np.where(value == MISSING_CODE, np.nan, convert(value, factor)),
            )


OPENAQ = Importer(
    help="files of the OpenAQ archive (csv.gz, a location and day each)",
    licence="that of each provider, see openaq.org; cite OpenAQ and the providers",
    patterns=("*.csv",),
    rows=_rows,
    marks_end=True,
)
"""Stations are locations; their names in the column `location`. The sensors of a location are
averaged. Times must have an offset from UTC, and mark the end of the period that a reading
describes."""
