"""The SensEURCity data set: from its files to a `CityData`.

Van Poppel et al. (2023), doi:10.5281/zenodo.7669644, CC BY 4.0.
"""

from data_prep.senseurcity.hourly import read_hourly
from data_prep.senseurcity.readings import read_archive

__all__ = ["read_archive", "read_hourly"]
