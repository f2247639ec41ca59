"""The one-minute readings of the SensEURCity archive, which has one CSV file per device.

Devices move between sites, so a station is a site, not a device.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.city import CityData, DataError
from data_prep.grid import cells_of, shared_cells
from data_prep.progress import progress_bar
from data_prep.senseurcity.archive import Archive, open_archive, open_binary, size_of
from data_prep.senseurcity.device import Device, canonical_site, read_device, read_header
from data_prep.senseurcity.download import download
from data_prep.senseurcity.sites import antwerp_sites
from data_prep.senseurcity.window import Moment, Window, find_window

QUANTITIES = {
    "OPCN3PM1": "PM1",
    "OPCN3PM25": "PM2.5",
    "OPCN3PM10": "PM10",
    "5301CAT": "PM1",
    "5325CAT": "PM2.5",
    "5310CAT": "PM10",
    "5301CST": "PM1",
    "5325CST": "PM2.5",
    "5310CST": "PM10",
}
"""Columns that can be read, and their quantities in ug/m3. The optical particle counter OPC-N3
measures the first three, the PMS5003 the others (``CAT``: atmospheric particles, ``CST``: standard
particles). Temperature and humidity are left out, since their columns ``SHT31TE`` and ``SHT31HE``
are swapped in versions 1 and 2 of the data set."""

ANTWERP_WINDOW = {"start": "2020-06-29T10:20", "end": "2021-02-17T07:18", "minutes": 335_339}
"""The window of the published experiment, for comparison with that found in the data."""


def read_archive(
    path: str | Path | None = None,
    city: str = "antwerp",
    quantity: str = "OPCN3PM25",
    start: Moment | None = None,
    end: Moment | None = None,
    grid: tuple[int, int] = (32, 32),
    progress: bool = True,
) -> CityData:
    """Read one city of a SensEURCity archive (Van Poppel et al., 2023, doi:10.5281/zenodo.7669644).

    A reading is valid if its flag is empty. It belongs to the site at which the device stood in
    that minute. The valid readings of units at the same site are averaged. The stations are the
    sites at which a device stood in the window; the times are all minutes of the window.

    Coordinates are taken from the site table: for Antwerp that of this package, for other cities
    `metadata_sites.csv` of the archive. A site that the table lacks has the median of its GPS fixes
    as coordinates; in Antwerp it is dropped.

    Parameters
    ----------
    path : str or Path, optional
        The zip, which is not unpacked, or a folder. The device files are in `dataset/`, in
        `senseurcity_data_v02/dataset/` or directly in it. Default: it is downloaded.
    city : str
        Name of the city, as in the names of the device files. Default ``"antwerp"``.
    quantity : str
        The column to read, one of `QUANTITIES`. Default ``"OPCN3PM25"``.
    start, end : str or datetime64, optional
        First and last minute, UTC. Default: the period in which devices run at all sites, from the
        latest first row to the earliest last row over the sites of the deployment.
    grid : (int, int)
        Height and width in cells of the grid, which spans the site table. Default ``(32, 32)``.
    progress : bool
        Whether to show a progress bar on stderr. Default True.

    Returns
    -------
    CityData
        Its `report` counts the dropped readings of each device by reason.

    Raises
    ------
    DataError
        If `path` is not an archive, a device file is damaged (the message names it), no device of
        the city has the quantity or stood at a known site, or the window is empty.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from data_prep import read_archive
    >>> from data_prep.synthetic import write_archive
    >>> span = {"start": "2020-08-01T00:00", "end": "2020-08-01T00:59"}
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "archive.zip")
    ...     write_archive(path, **span, progress=False)
    ...     city = read_archive(path, quantity="OPCN3PM10", progress=False)
    >>> city.quantity, city.synthetic, len(city.stations)
    ('PM10', True, 31)
    """
    if quantity not in QUANTITIES:
        raise DataError(f"quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
    city = city.lower()
    path = download(progress=progress) if path is None else Path(path)
    with open_archive(path) as archive:
        sites = _known_sites(archive, city)
        devices, skipped = _read_devices(archive, city, quantity, sites, progress)
        synthetic = archive.synthetic
    if not any(len(device.minute) for device in devices):
        unknown = sorted({name for d in devices for name in d.report["unknown_locations"]})
        raise DataError(
            f"{path} has no row of {quantity} at a known site of {city}; "
            f"skipped files: {skipped}; unknown locations: {unknown}"
        )
    window, window_report = find_window(devices, start, end)
    if city == "antwerp":
        window_report["published"] = ANTWERP_WINDOW
    present = {
        device.sites[site]
        for device in devices
        for site in np.unique(device.site[_inside(device, window)])
    }
    unlisted = sorted(present.difference(sites.table["station"]))
    places = pd.concat([sites.table, _gps_coordinates(devices, unlisted)], ignore_index=True)
    places["cell"] = cells_of(places["latitude"], places["longitude"], grid)
    stations = places[places["station"].isin(present)].reset_index(drop=True)
    values = mean_over_units(devices, stations["station"].to_list(), window)
    return CityData(
        name=city.capitalize() + (" (synthetic)" if synthetic else ""),
        times=window.times,
        stations=stations,
        values=values,
        grid=grid,
        quantity=QUANTITIES[quantity],
        synthetic=synthetic,
        report={
            "source": archive.name,
            "column": quantity,
            "window": window_report,
            "readings": int(np.isfinite(values).sum()),
            **_dropped(devices, window),
            "skipped_files": skipped,
            "sites_without_a_device": sorted(set(sites.table["station"]) - present),
            "coordinates_from_gps": unlisted,
            "shared_cells": [
                group
                for names in shared_cells(places, grid)
                if len(group := [name for name in names if name in present]) > 1
            ],
        },
    )


@dataclass(frozen=True)
class _Sites:
    """The known sites of a city.

    Attributes
    ----------
    table : DataFrame
        Columns `station`, `latitude` and `longitude`; there may be further columns.
    complete : bool
        Whether `table` has all sites, so that any other name is invalid.
    elsewhere : frozenset of str
        Names of the sites of other cities.
    """

    table: pd.DataFrame
    complete: bool = False
    elsewhere: frozenset[str] = frozenset()

    def accepts(self, name: str) -> bool:
        """Return whether `name` is a site of the city."""
        if self.complete:
            return name in self.table["station"].array
        return name not in self.elsewhere


def _known_sites(archive: Archive, city: str) -> _Sites:
    if city == "antwerp":
        return _Sites(antwerp_sites().rename(columns={"site": "station"}), complete=True)
    table = archive.site_table().rename(columns={"site": "station"})
    table["station"] = table["station"].map(canonical_site)
    here = table.pop("city").str.strip().str.lower() == city
    return _Sites(table[here], elsewhere=frozenset(table.loc[~here, "station"]))


def _read_devices(
    archive: Archive, city: str, quantity: str, sites: _Sites, progress: bool
) -> tuple[list[Device], dict[str, str]]:
    """Read the devices; return them, and the reasons why other files were skipped."""
    files = archive.devices(city)
    skipped = dict.fromkeys(archive.strays(), "not a device")
    devices = []
    with progress_bar(progress) as bar:
        task = bar.add_task("", total=sum(size_of(file) for file in files))
        for file in files:
            bar.update(task, description=file.name)
            with open_binary(file) as source:
                header = read_header(source, file.name)
            if quantity not in header:
                skipped[file.name] = f"no column {quantity}"
                bar.advance(task, size_of(file))
                continue
            with open_binary(file) as source, bar.wrap_file(source, task_id=task) as counted:
                device = read_device(
                    counted,
                    file.name,
                    header,
                    quantity,
                    accepts=sites.accepts,
                    with_fixes=not sites.complete,
                )
            devices.append(device)
    return devices, skipped


def _inside(device: Device, window: Window) -> npt.NDArray[np.bool_]:
    return (window.start <= device.minute) & (device.minute <= window.end)


def _gps_coordinates(devices: Sequence[Device], sites: list[str]) -> pd.DataFrame:
    """Return the median over the devices at each site of the median GPS fix of each device."""
    if not sites:
        return pd.DataFrame()
    fixes = pd.concat([device.fixes for device in devices]).dropna()
    lost = sorted(set(sites).difference(fixes.index))
    if lost:
        raise DataError(f"no coordinates for {lost}: neither in the site table nor from GPS")
    return fixes.groupby(level=0).median().loc[sites].rename_axis("station").reset_index()


def mean_over_units(
    devices: Sequence[Device], stations: list[str], window: Window
) -> npt.NDArray[np.float32]:
    """Return the mean of the valid readings at each station, shape (T, S), NaN where none is."""
    sums = np.zeros((len(window), len(stations)))
    units = np.zeros(sums.shape, np.uint8)
    for device in devices:
        column = np.array([stations.index(s) if s in stations else -1 for s in device.sites], int)
        valid = _inside(device, window) & np.isfinite(device.value)
        where = device.minute[valid] - window.start, column[device.site[valid]]
        sums[where] += device.value[valid]
        units[where] += 1
    with np.errstate(invalid="ignore"):
        return (sums / units).astype(np.float32)  # 0 / 0 is NaN: no reading


def _dropped(devices: Sequence[Device], window: Window) -> dict[str, Any]:
    """Count the dropped readings by reason, in total and for each device."""
    reports = {}
    for device in devices:
        valid = np.isfinite(device.value)
        kept = int((valid & _inside(device, window)).sum())
        dropped = device.report["dropped"] | {"outside_window": int(valid.sum()) - kept}
        reports[device.name] = device.report | {"kept": kept, "dropped": dropped}
    totals = {
        key: dict(sum((Counter(report[key]) for report in reports.values()), Counter()))
        for key in ("dropped", "flags", "unknown_locations")
    }
    return {
        "rows": sum(report["rows"] for report in reports.values()),
        **totals,
        "missing_columns": {
            name: ", ".join(report["missing_columns"])
            for name, report in reports.items()
            if report["missing_columns"]
        },
        "devices": reports,
    }
