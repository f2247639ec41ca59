"""Sources of readings: one file for each, and the registry of all."""

from data_prep.sources.csv_tables import CSV
from data_prep.sources.importer import Importer
from data_prep.sources.openaq import OPENAQ

IMPORTERS: dict[str, Importer] = {
    "csv": CSV,
    "openaq": OPENAQ,
}
"""The sources of files by name, for ``load_city("NAME:PATH")``."""
