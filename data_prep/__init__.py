"""Prepare a city: from what was published to a `CityData`, the input of the experiment.

Knows nothing of torch. ``python -m data_prep`` does the same from the command line.
"""

from data_prep.city import CityData, DataError
from data_prep.senseurcity import read_archive, read_hourly
from data_prep.synthetic import synthetic_city
from data_prep.tidy import read_tidy

__all__ = ["CityData", "DataError", "read_archive", "read_hourly", "read_tidy", "synthetic_city"]
