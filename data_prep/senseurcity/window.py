"""The window of a campaign: the period in which devices run at all sites."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.city import DataError
from data_prep.senseurcity.device import Device

Moment = str | np.datetime64 | pd.Timestamp


@dataclass(frozen=True)
class Window:
    """The minutes from `start` to `end`, both inclusive, since 1970-01-01 00:00 UTC."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start + 1

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        """All minutes, datetime64[s] of shape (T,)."""
        minutes = np.arange(self.start, self.end + 1).astype("datetime64[m]")
        return minutes.astype("datetime64[s]")

    def report(self) -> dict[str, Any]:
        """Return the first and the last minute as text, and the number of minutes."""
        return {"start": _text(self.start), "end": _text(self.end), "minutes": len(self)}


def deployments(devices: Sequence[Device]) -> pd.DataFrame:
    """Find the sites at which devices were deployed, and the period of each deployment.

    A device first stands at a reference station, is then deployed at its site and finally returns
    to the reference station. The site with most of its rows is taken as that of its deployment.

    Returns
    -------
    DataFrame
        Index site; columns `first` and `last`, the first and the last minute of its devices (since
        1970-01-01 00:00 UTC), and `devices`, the list of their names.
    """
    rows = []
    for device in devices:
        if len(device.site):
            home = np.bincount(device.site).argmax()
            there = device.minute[device.site == home]
            rows.append((device.sites[home], int(there[0]), int(there[-1]), device.name))
    table = pd.DataFrame(rows, columns=["site", "first", "last", "devices"])
    return table.groupby("site").agg({"first": "min", "last": "max", "devices": list})


def find_window(
    devices: Sequence[Device], start: Moment | None = None, end: Moment | None = None
) -> tuple[Window, dict[str, Any]]:
    """Find the window: from the latest first minute to the earliest last minute over the sites.

    Parameters
    ----------
    devices : sequence of Device
        At least one of them has a row at a known site.
    start, end : str or datetime64, optional
        First and last minute in UTC, limited to the period of the data. Default: from the data.

    Returns
    -------
    Window
    dict
        The window, the reason for its start and end, and the period of each site, for a report.

    Raises
    ------
    DataError
        If the window is empty, or `start` or `end` is not a time.
    """
    sites = deployments(devices)
    reasons = {
        "start": f"first row at {sites['first'].idxmax()}" if start is None else "given",
        "end": f"last row at {sites['last'].idxmin()}" if end is None else "given",
    }
    stood = [device for device in devices if len(device.minute)]
    window = Window(
        start=int(sites["first"].max())
        if start is None
        else max(_minute(start, "start"), min(int(device.minute[0]) for device in stood)),
        end=int(sites["last"].min())
        if end is None
        else min(_minute(end, "end"), max(int(device.minute[-1]) for device in stood)),
    )
    if window.start > window.end:
        raise DataError(
            f"there is no minute in which devices run at all sites: the window would start "
            f"{_text(window.start)} ({reasons['start']}) and end {_text(window.end)} "
            f"({reasons['end']}); choose another start and end"
        )
    spans = {
        site: {"first": _text(first), "last": _text(last), "devices": names}
        for site, first, last, names in sites.itertuples(name=None)
    }
    return window, window.report() | {"decided_by": reasons, "sites": spans}


def _minute(moment: Moment, name: str) -> int:
    try:
        time = pd.Timestamp(moment)
        if pd.isna(time) or isinstance(moment, Real):  # which would be nanoseconds since 1970
            raise ValueError("no time")
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} must be a time like '2020-06-29 10:20', got {moment!r}") from error
    return int(time.timestamp() // 60)


def _text(minute: int) -> str:
    return str(np.datetime64(minute, "m"))
