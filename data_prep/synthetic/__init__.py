"""Synthetic data modelled on the SensEURCity campaign in Antwerp."""

from data_prep.synthetic.archive import write_archive
from data_prep.synthetic.city import synthetic_city

__all__ = ["synthetic_city", "write_archive"]
