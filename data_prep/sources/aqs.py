"""Hourly files of the Air Quality System of the US EPA, such as ``hourly_88101_2023.zip``."""

from collections.abc import Iterator
from datetime import UTC

import numpy as np

from data_prep.dropped import Dropped, count_dropped
from data_prep.sources.files import File
from data_prep.sources.importer import Importer, Rows
from data_prep.sources.table import numbers, read_csv, seconds
from data_prep.sources.units import convert, to_ug_m3

PM25 = ("88101", "88502")
"""The codes of PM2.5: by a reference or equivalent method, and by other acceptable methods."""

_SITE = ("State Code", "County Code", "Site Num")
_FACTS = {"State Name": "state", "County Name": "county"}
_COLUMNS = (
    *_SITE,
    "Parameter Code",
    "Latitude",
    "Longitude",
    "Date GMT",
    "Time GMT",
    "Sample Measurement",
    "Units of Measure",
    *_FACTS,
)


def _rows(files: Iterator[File], dropped: Dropped) -> Rows:
    for file in files:
        for table in read_csv(file, _COLUMNS):
            factor = to_ug_m3(table["Units of Measure"])
            right = count_dropped(
                dropped,
                {
                    "other_quantity": ~table["Parameter Code"].isin(PM25),
                    "other_unit": np.isnan(factor),
                },
            )
            table, factor = table[right], factor[right]
            state, county, site = (table[name] for name in _SITE)
            time = (table["Date GMT"] + " " + table["Time GMT"]).rename("Date GMT, Time GMT")
            yield (
                table[[*_FACTS]]
                .rename(columns=_FACTS)
                .assign(
                    station=state + "-" + county + "-" + site,
                    latitude=numbers(table["Latitude"], file),
                    longitude=numbers(table["Longitude"], file),
                    time=seconds(time, file, format="%Y-%m-%d %H:%M", zone=UTC),
                    value=convert(numbers(table["Sample Measurement"], file), factor),
                )
            )


AQS = Importer(
    help="hourly files of the US EPA Air Quality System (hourly_88101_YYYY.zip, hourly_88502_...)",
    licence="see aqs.epa.gov/aqsweb/airdata; cite the US Environmental Protection Agency, Air "
    "Quality System",
    patterns=("hourly_*.csv",),
    rows=_rows,
)
"""Stations are sites, such as 06-037-1103: state, county and site, whose names are in the columns
`state` and `county`. The monitors of a site are averaged. Times mark the beginning of the hour.
Qualifiers are not used: AQS has no value where a reading is invalid."""
