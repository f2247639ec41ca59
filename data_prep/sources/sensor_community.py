"""The archive of Sensor.Community: files of a sensor and day, or of a type of sensor and month."""

from collections.abc import Iterator
from datetime import UTC

import numpy as np

from data_prep.city import DataError
from data_prep.dropped import Dropped, count_dropped
from data_prep.sources.files import File
from data_prep.sources.importer import Importer, Rows
from data_prep.sources.table import numbers, read_csv, seconds

FAILED = (999.0, 999.9, 1999.0, 1999.9)
"""What a sensor reports if it could not measure, in ug/m3."""

MISSING_TEXTS = ("unavailable", "unknown")
"""Cells without a number besides those that are missing in every source."""

COUNTS_PARTICLES = "PPD42NS"
"""The type of sensor whose P2 is a number of particles, not a mass."""

_COLUMNS = ("sensor_id", "sensor_type", "location", "lat", "lon", "timestamp")


def _rows(files: Iterator[File], dropped: Dropped) -> Rows:
    has_pm25 = False
    for file in files:
        for table in read_csv(file, _COLUMNS, optional=("P2",), delimiter=";"):
            if "P2" not in table:
                dropped["other_quantity"] += len(table)
                continue
            has_pm25 = True
            if file.name.endswith("_indoor.csv"):
                dropped["indoor"] += len(table)
                continue
            cells = table["P2"].str.strip()
            value = numbers(cells.mask(cells.isin(MISSING_TEXTS), ""), file)
            right = count_dropped(
                dropped,
                {
                    "other_unit": table["sensor_type"] == COUNTS_PARTICLES,
                    "failed_measurement": np.isin(value, FAILED),
                },
            )
            yield table[["sensor_type", "location"]].assign(
                station=table["sensor_id"],
                latitude=numbers(table["lat"], file),
                longitude=numbers(table["lon"], file),
                time=seconds(table["timestamp"], file, zone=UTC),
                value=value,
            )[right]
    if not has_pm25:
        raise DataError(
            "no file has the column P2, which is PM2.5: all are of sensors for other quantities "
            f"({dropped['other_quantity']} rows)"
        )


SENSOR_COMMUNITY = Importer(
    help="files of archive.sensor.community (a sensor and day, or a type of sensor and month)",
    licence="DbCL 1.0, opendatacommons.org/licenses/dbcl/1-0; credit Sensor.Community",
    patterns=("*.csv",),
    rows=_rows,
    every="1h",
)
"""Stations are sensors, which measure every 2.5 minutes as a rule. PM2.5 is the column P2; times
are in UTC. Files of sensors for other quantities, such as the temperature, are left out, and so
are sensors that stand indoors and those that count particles (`COUNTS_PARTICLES`)."""
