"""Sources of readings: one file for each, and the registry of all."""

from data_prep.sources.airnow import AIRNOW
from data_prep.sources.aqs import AQS
from data_prep.sources.csv_tables import CSV
from data_prep.sources.eea import EEA
from data_prep.sources.importer import Importer
from data_prep.sources.openaq import OPENAQ
from data_prep.sources.purpleair import PURPLEAIR
from data_prep.sources.sensor_community import SENSOR_COMMUNITY

IMPORTERS: dict[str, Importer] = {
    "airnow": AIRNOW,
    "aqs": AQS,
    "csv": CSV,
    "eea": EEA,
    "openaq": OPENAQ,
    "purpleair": PURPLEAIR,
    "sensor-community": SENSOR_COMMUNITY,
}
"""The sources of files by name, for ``load_city("NAME:PATH")``."""
