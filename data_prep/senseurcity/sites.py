"""The 31 sites of the SensEURCity campaign in Antwerp."""

from importlib.resources import files

import pandas as pd

CLASSES = {"REF": "reference", "URB": "urban", "TRA": "traffic"}


def antwerp_sites() -> pd.DataFrame:
    """Return the site table of Antwerp, in the order of precedence for `data_prep.grid.cells_of`.

    Returns
    -------
    DataFrame, 31 rows
        `site` (as in ``Location.ID``), `name`, `latitude` and `longitude` (degrees, as published),
        `distance_to_road_m` (metres), `traffic_per_hour` (vehicles per hour, NaN for the one site
        without a count) and `class` (reference, urban or traffic, according to the site's name).

    Notes
    -----
    Source: `metadata_sites.csv` of SensEURCity (Van Poppel et al., 2023,
    doi:10.5281/zenodo.7669644), CC BY 4.0. The site VITO, 42 km east of Antwerp, is left out.

    Examples
    --------
    >>> from data_prep.senseurcity.sites import antwerp_sites
    >>> antwerp_sites()["class"].value_counts().to_dict()
    {'urban': 14, 'reference': 9, 'traffic': 8}
    """
    with files(__package__).joinpath("antwerp_sites.csv").open(encoding="utf-8") as table:
        sites = pd.read_csv(table)
    sites["class"] = sites["site"].str.extract("_(.{3})_")[0].map(CLASSES)
    return sites
