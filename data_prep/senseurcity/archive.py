"""The files of a SensEURCity archive, which is a zip or a folder. A zip is not unpacked."""

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pandas as pd

from data_prep.city import DataError

_OTHER_SOURCES = "; the files of another source are named as NAME:PATH, such as aqs:PATH"

SYNTHETIC_COMMENT = b"synthetic"
"""The comment of a zip file whose readings are synthetic."""

File = Path | zipfile.Path
_SITES = "metadata_sites.csv"
_MOST_SITE_BYTES = 1 << 24
_DEVICE = re.compile(r"(?P<city>[A-Za-z]+)_[0-9A-Za-z]+\.csv")


@dataclass(frozen=True)
class Archive:
    """An open archive.

    Attributes
    ----------
    name : str
        The name of the zip or folder.
    dataset : Path or zipfile.Path
        The folder with one CSV file per device.
    metadata : Path or zipfile.Path
        The parent folder of `dataset`, or `dataset` itself.
    synthetic : bool
        Whether the zip is marked as synthetic.
    """

    name: str
    dataset: File
    metadata: File
    synthetic: bool = False

    def devices(self, city: str) -> list[File]:
        """Return the device files of `city`, sorted by name.

        Raises
        ------
        DataError
            If there are none. The message lists the cities of the archive.
        """
        cities = {file: match["city"].lower() for file in self._tables() if (match := _match(file))}
        devices = [file for file in cities if cities[file] == city.lower()]
        if not devices:
            there = ", ".join(
                f"{name} ({n})" for name, n in sorted(Counter(cities.values()).items())
            )
            raise DataError(
                f"{self.name} has no device of the city {city!r}; it has {there or 'no devices'}"
                f"{_OTHER_SOURCES}"
            )
        return devices

    def strays(self) -> list[str]:
        """Return the names of CSV files that are not devices, such as a reference station."""
        return [file.name for file in self._tables() if not _match(file)]

    def site_table(self) -> pd.DataFrame:
        """Return `metadata_sites.csv`: columns `site`, `city`, `latitude` and `longitude`.

        Rows without a name or valid coordinates are left out. Without the file, the table is empty.
        """
        columns = {
            "location_id": "site",
            "city": "city",
            "latitude_dd": "latitude",
            "longitude_dd": "longitude",
        }
        for folder in (self.dataset, self.metadata, self.metadata / "metadata"):
            file = folder / _SITES
            if file.is_file():
                table = _read_sites(file, columns)
                table = table.rename(columns=columns)[[*columns.values()]]
                for name, limit in (("latitude", 90), ("longitude", 180)):
                    table[name] = pd.to_numeric(table[name], errors="coerce")
                    table = table[table[name].abs() <= limit]
                return table.dropna(subset="site")
        empty = pd.DataFrame(columns=[*columns.values()])
        return empty.astype({"latitude": np.float64, "longitude": np.float64})

    def _tables(self) -> list[File]:
        files = (file for file in _csv_files(self.dataset) if file.name != _SITES)
        return sorted(files, key=lambda file: file.name)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open the zip or folder at `path`.

    The device files are in `dataset/`, in `<any folder>/dataset/` or directly in `path`.

    Raises
    ------
    DataError
        If `path` does not exist, is not a readable zip file, or has no such folder.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; expected a SensEURCity zip or folder")
    if path.is_dir():
        yield _find(path, path.name)
        return
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is not a complete zip file: {error}") from error
    with archive:
        found = _find(zipfile.Path(archive), path.name)
        yield replace(found, synthetic=archive.comment == SYNTHETIC_COMMENT)


def open_binary(file: File) -> BinaryIO:
    """Open a file of the archive for reading bytes.

    Raises
    ------
    DataError
        If it is encrypted, compressed in an unknown way, or damaged.
    """
    try:
        return cast(BinaryIO, file.open("rb"))
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise DataError(f"{file.name} cannot be read: {error}") from error


def size_of(file: File) -> int:
    """Return the unpacked size of a file in bytes."""
    if isinstance(file, zipfile.Path):
        return file.root.getinfo(file.at).file_size
    return file.stat().st_size


def _find(root: File, name: str) -> Archive:
    inside = sorted((f for f in root.iterdir() if f.is_dir()), key=lambda folder: folder.name)
    places = [(folder / "dataset", folder) for folder in (root, *inside)]
    for dataset, metadata in (*places, (root, root)):
        if dataset.is_dir() and any(_csv_files(dataset)):
            return Archive(name, dataset, metadata)
    raise DataError(
        f"{name} is not a SensEURCity archive: it has no dataset folder with CSV files"
        f"{_OTHER_SOURCES}"
    )


def _read_sites(file: File, columns: Iterable[str]) -> pd.DataFrame:
    try:
        with open_binary(file) as source:
            content = source.read(_MOST_SITE_BYTES + 1)
        if len(content) > _MOST_SITE_BYTES:
            raise ValueError(f"it is larger than {_MOST_SITE_BYTES} bytes")
        # the units in it are not UTF-8
        return pd.read_csv(BytesIO(content), usecols=[*columns], encoding="latin-1", dtype=str)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{file.name} cannot be read: {error}") from error


def _csv_files(folder: File) -> Iterator[File]:
    return (file for file in folder.iterdir() if file.name.endswith(".csv") and file.is_file())


def _match(file: File) -> re.Match[str] | None:
    return _DEVICE.fullmatch(file.name)
