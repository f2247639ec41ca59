"""From the word behind ``--data`` to a city."""

from pathlib import Path

from data_prep.city import CityData, DataError

GRID = (32, 32)
WORDS = ("synthetic", "senseurcity", "senseurcity-hourly")
"""What `load_city` takes beside a path."""


def load_city(data: str, grid: tuple[int, int] | None = None) -> CityData:
    """Prepare the city that `data` names.

    Parameters
    ----------
    data : str
        ``"synthetic"``, ``"senseurcity"`` or ``"senseurcity-hourly"`` (both downloaded once, then
        read from the cache), or a path: a prepared city (`city.json`), a tidy city (`stations.csv`
        beside `readings.parquet` or `readings.csv`), the SensEURCity zip or folder, or the file of
        its hourly means (`.Rda`).
    grid : (int, int), optional
        Height and width in cells. Default: what a prepared city has, ``(32, 32)`` for any other.

    Raises
    ------
    DataError
        If there is nothing at the path or it is none of these, or a prepared city has another grid.
    """
    if data == "synthetic":
        from data_prep.synthetic import synthetic_city

        return synthetic_city(grid=grid or GRID)
    if data == "senseurcity":
        from data_prep.senseurcity import read_archive
        from data_prep.senseurcity.download import download

        return read_archive(download(), grid=grid or GRID)
    if data == "senseurcity-hourly":
        from data_prep.senseurcity import read_hourly

        return read_hourly(grid=grid or GRID)
    return _read_path(Path(data), grid)


def is_quickly_read(data: str) -> bool:
    """Whether `data` names a prepared or a tidy city, which take no time to read again."""
    return any((Path(data) / name).exists() for name in ("city.json", "stations.csv"))


def _read_path(path: Path, grid: tuple[int, int] | None) -> CityData:
    if not path.exists():
        raise DataError(f"--data must be {', '.join(WORDS)} or a path that exists, got {path}")
    if (path / "city.json").exists():
        city = CityData.load(path)
        if grid not in (None, city.grid):
            raise DataError(f"the city in {path} was prepared for the grid {city.grid}, not {grid}")
        return city
    if (path / "stations.csv").exists():
        from data_prep.tidy import read_tidy

        return read_tidy(path, grid=grid or GRID)
    if path.suffix.lower() == ".rda":
        from data_prep.senseurcity import read_hourly

        return read_hourly(path, grid=grid or GRID)
    if path.is_file() or any(path.glob("**/dataset/*.csv")) or any(path.glob("Antwerp_*.csv")):
        from data_prep.senseurcity import read_archive

        return read_archive(path, grid=grid or GRID)
    raise DataError(
        f"{path} is no data set: expected a prepared city (city.json), a tidy one (stations.csv "
        "and readings.parquet or readings.csv), the SensEURCity zip or folder, or its hourly .Rda"
    )
