"""Synthetic data modelled on Antwerp, for trying things out without a download."""

from data_prep.synthetic.archive import synthetic_city, write_archive

__all__ = ["synthetic_city", "write_archive"]
