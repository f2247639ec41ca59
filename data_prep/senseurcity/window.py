"""The window of a campaign: the minutes in which all its stations run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.city import DataError
from data_prep.senseurcity.device import Device

Moment = str | np.datetime64 | pd.Timestamp


@dataclass(frozen=True)
class Window:
    """The minutes from `start` to `end`, both included, since 1970-01-01 00:00 UTC."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start + 1

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        """Every minute, datetime64[s], shape (T,)."""
        minutes = np.arange(self.start, self.end + 1).astype("datetime64[m]")
        return minutes.astype("datetime64[s]")

    def report(self) -> dict[str, Any]:
        """Return both ends as text and the number of minutes."""
        return {"start": _text(self.start), "end": _text(self.end), "minutes": len(self)}


def deployments(devices: Sequence[Device]) -> pd.DataFrame:
    """Find the sites at which devices were deployed, and when they ran.

    A device first stands at a reference station, is then deployed at its site, and comes back to
    the reference station in the end. Where it has most of its rows, there it was deployed.

    Returns
    -------
    DataFrame
        Index site; `first` and `last`, the first and last minute (since 1970-01-01 00:00 UTC) of
        its devices there, and `devices`, a list of their names.
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
    """Find the window in which all sites run: latest first minute to earliest last minute.

    Parameters
    ----------
    devices : sequence of Device
        At least one of them stood at a known site.
    start, end : str or datetime64, optional
        Used instead of what the data says: UTC, both included, cut to where there is data.

    Returns
    -------
    Window
    dict
        The window, what decided its ends, and when each site ran, for a report.

    Raises
    ------
    DataError
        If that leaves no minute, or `start` or `end` is no time.
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
            f"there is no minute in which all sites run: the window would start "
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
        if pd.isna(time):
            raise ValueError("no time")
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} must be a time like '2020-06-29 10:20', got {moment!r}") from error
    return int(time.timestamp() // 60)


def _text(minute: int) -> str:
    return str(np.datetime64(minute, "m"))
