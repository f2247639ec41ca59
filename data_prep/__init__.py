"""Data preparation: from published readings to a `CityData`, the input of the experiment.

Does not need torch. ``python -m data_prep`` offers the same on the command line.
"""

from data_prep.city import CityData, DataError, DataWarning
from data_prep.load import load_city
from data_prep.senseurcity import read_archive, read_hourly
from data_prep.sources.openaq_download import download_openaq
from data_prep.synthetic import synthetic_city
from data_prep.tidy import read_tidy

__all__ = [
    "CityData",
    "DataError",
    "DataWarning",
    "download_openaq",
    "load_city",
    "read_archive",
    "read_hourly",
    "read_tidy",
    "synthetic_city",
]
