"""Records of what was measured: JSON files that are written completely or not at all."""

import errno
import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

from data_prep.files import atomic_path
from tritonbn.bench.machine import machine_of

Record = dict[str, Any]


def new_record(device: torch.device, command: str, copy_gb_per_s: dict[str, float]) -> Record:
    """Return a record without measurements.

    Parameters
    ----------
    device : torch.device
    command : str
        That measures it.
    copy_gb_per_s : dict
        The bandwidth of a copy, by its size; the largest first.

    Returns
    -------
    dict
        To be filled: "layers" has a row for each layer and input, "growth" and "models" are
        further measurements, and "tuning" has the measured configurations of kernels.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        **machine_of(device),
        "ceilings_gb_per_s": copy_gb_per_s,
        "layers": [],
        "models": [],
        "growth": [],
        "tuning": [],
    }


def copy_of(record: Record) -> float:
    """Return the bandwidth of the largest copy in GB/s."""
    speeds: dict[str, float] = record["ceilings_gb_per_s"]
    return next(iter(speeds.values()))


def read_record(path: Path) -> Record:
    """Read a record.

    Raises
    ------
    ValueError
        If the file is no record.
    """
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    needed = ("date", "command", "device", "versions", "ceilings_gb_per_s", "layers")
    if not isinstance(record, dict) or any(name not in record for name in needed):
        raise ValueError(f"{path} is no record of tritonbn bench, which has {', '.join(needed)}")
    return {"models": [], "growth": [], "tuning": [], **record}


def require_writable(path: Path) -> None:
    """Raise an `OSError` that names the file if it cannot be written; the file is left as it is."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_record(record: Record, path: Path) -> None:
    """Write a record; a file of this name is replaced when the new one is complete."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
