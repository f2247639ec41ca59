"""Files in the layout of the download service of the European Environment Agency."""

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    {
        "Samplingpoint": pa.string(),
        "Pollutant": pa.int32(),
        "Start": pa.timestamp("ns"),
        "End": pa.timestamp("ns"),
        "Value": pa.decimal128(38, 18),
        "Unit": pa.string(),
        "AggType": pa.string(),
        "Validity": pa.int32(),
        "Verification": pa.int32(),
        "ResultTime": pa.timestamp("ns"),
        "DataCapture": pa.decimal128(38, 18),
        "FkObservationLog": pa.string(),
    }
)
POINTS = {
    "SPO-BETR701_06001_100": ("BETR701", "41R701 - Gent", 51.0583, 3.7293),
    "SPO-BETR702_06001_100": ("BETR702", "44R702 - Gent, Gustaaf Callier", 51.0359, 3.7284),
    "SPO-BETR731_06001_100": ("BETR731", "44R731 - Evergem", 51.1515, 3.7341),
}
FIRST = "SPO-BETR701_06001_100"
START = datetime(2023, 3, 1)
HOURS = 480
METADATA_HEADER = (
    "Country,Timezone,Namespace,Air Quality Network,Air Quality Network Name,"
    "Air Quality Station EoI Code,Air Quality Station Nat Code,Air Quality Station Name,"
    "Sampling Point Id,Air Pollutant,Longitude,Latitude,Altitude,Air Quality Station Area,"
    "Air Quality Station Type,Measurement Type"
)


def row(hour: int, value: object, point: str = f"BE/{FIRST}", **changes: object) -> dict:
    """Return a row that begins some hours after the start; `changes` are other cells."""
    start = START + timedelta(hours=hour)
    usual = {
        "Samplingpoint": point,
        "Pollutant": 6001,
        "Start": start,
        "End": start + timedelta(hours=1),
        "Value": None if value is None else Decimal(str(value)),
        "Unit": "ug.m-3",
        "AggType": "hour",
        "Validity": 1,
        "Verification": 1,
        "ResultTime": datetime(2024, 9, 20, 12),
        "DataCapture": None,
        "FkObservationLog": "2b7a7cd6-8ff5-4e0e-a1a4-9d1c5c8d6f6e",
    }
    return usual | changes


def write_rows(path: Path, rows: list[dict], schema: pa.Schema = SCHEMA) -> Path:
    """Write the file of a sampling point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="snappy")
    return path


def metadata_row(point: str) -> str:
    """Return a row of the table of the sampling points."""
    code, name, latitude, longitude = POINTS[point]
    return (
        'Belgium,UTC+01,BE.CELINE-IRCEL.AQ,NET-Flanders,"Flanders, VMM",'
        f'{code},{code[2:]},"{name}",'
        f"{point},PM2.5,{longitude},{latitude},7,urban,background,automatic"
    )


def write_metadata(path: Path) -> Path:
    """Write the table of three sampling points, with two rows for each sampling process."""
    rows = [metadata_row(point) for point in POINTS for _ in range(2)]
    path.write_text("\r\n".join([METADATA_HEADER, *rows, ""]), "utf-8-sig")
    return path


def write_download(root: Path) -> Path:
    """Write the files of three sampling points, with readings that differ by point and hour."""
    for number, point in enumerate(POINTS):
        rows = [row(hour, number + hour / 4, f"BE/{point}") for hour in range(HOURS)]
        write_rows(root / "E1a" / f"{point}.parquet", rows)
    return root
