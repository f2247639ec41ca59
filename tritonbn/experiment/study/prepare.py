"""Create a results folder, or open it again, and check that its city suffices for the runs."""

import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_prep.city import CityData, DataError
from data_prep.load import is_quickly_read, load_city, split_source
from tritonbn.experiment.networks.checkpoint import identity
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.folds import folds_of
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.study.results import CONFIG, FORMAT, Results, write_json
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.parts import TESTED_PARTS, Part
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.scores import city_sprmse, estimates_table

_MOST = 1e18
"""The largest reading whose square, also summed over a city, is a float32."""


def city_of(directory: Path, data: str, grid: tuple[int, int] | None = None) -> CityData:
    """Return the city of a results folder, or load it if there is no such folder.

    Parameters
    ----------
    directory : Path
        The results folder. The city in it is used if `data` would take long to read, and the
        folder has a run or baseline.
    data : str
        As for `data_prep.load_city`.
    grid : (int, int), optional
        As for `data_prep.load_city`.

    Raises
    ------
    DataError
        If the city cannot be loaded, or the folder holds data, or results of another grid, or of
        another source of data where these are not read.
    """
    results = _existing(directory)
    if results is None:
        return load_city(data, grid=grid)
    _require_same(results, grid=grid)
    if is_quickly_read(data):
        return load_city(data, grid=results.city.grid)
    _require_same(results, data=source_name(data))
    return results.city


def source_name(data: str) -> str:
    """Return what `load_city` takes, with an absolute path if there is one."""
    name, path = split_source(data)
    return ":".join(part for part in (name, path and str(path.resolve())) if part)


def open_results(
    directory: Path,
    city: CityData,
    protocols: Iterable[str],
    *,
    preset: str,
    settings: dict[str, Any] | None = None,
    data: str = "",
) -> Results:
    """Open a results folder for a city, or create it; one without any run is created anew.

    Parameters
    ----------
    directory : Path
        The folder.
    city : CityData
    protocols : iterable of str
        Of the runs: the city must have enough readings for each.
    preset : str
        Of the runs, if the folder is created.
    settings : dict, optional
        Settings of the runs that differ from those of the preset. Default: none.
    data : str
        Where the city comes from, for the report. Default: its name.

    Raises
    ------
    DataError
        If the folder holds data, or results of another preset, other settings or another city, or
        the city has too few stations or readings. In these cases nothing is written.
    """
    settings = {
        name: value.item() if isinstance(value, np.generic) else value  # for JSON
        for name, value in (settings or {}).items()
    }
    if (results := _existing(directory)) is not None:
        _require_same(results, preset=preset, settings=settings)
        here, there = identity(city), identity(results.city)
        if changed := [name for name in there if here[name] != there[name]]:
            raise DataError(
                f"{directory} holds results of a city with different {' and '.join(changed)}; "
                "choose another folder (--out)"
            )
        require_trainable(city, protocols, preset, settings)
        return results
    require_trainable(city, protocols, preset, settings)
    city.save(directory / "data")
    facts = {
        "data": data or city.name,
        "preset": preset,
        "settings": settings,
        "grid": city.grid,
        "format": FORMAT,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("tritonbn", "torch", "numpy", "pandas")},
        },
    }
    write_json(directory / CONFIG, facts)
    return Results.open(directory)


def preset_of(directory: Path | None, preset: str | None, default: str) -> str:
    """Return the given preset, else that of an existing results folder, else the default."""
    results = None if directory is None else _existing(directory)
    return preset or (default if results is None else results.preset)


def _existing(directory: Path) -> Results | None:
    """Open a results folder; return None if there is none, or it has no run or baseline yet."""
    if (directory / CONFIG).exists():
        results = Results.open(directory)
        return results if results.is_begun else None
    signs = ("stations.csv", "readings.*", "city.json", "data/stations.csv")
    if any(path for sign in signs for path in directory.glob(sign)):
        raise DataError(f"{directory} holds data, not results; choose another folder (--out)")
    return None


def _require_same(results: Results, **wanted: Any) -> None:
    differ = [
        f"{name} is {results.facts.get(name)} in the folder, but {value} was requested"
        for name, value in wanted.items()
        if value is not None and results.facts.get(name) != value
    ]
    if differ:
        raise DataError(
            f"{results.directory} holds other results: {'; '.join(differ)}; choose another folder "
            "(--out)"
        )


def require_trainable(
    city: CityData, protocols: Iterable[str], preset: str, settings: dict[str, Any]
) -> None:
    """Raise `DataError` if training or test would fail for lack of stations or readings."""
    largest = np.abs(city.values[city.observed]).max(initial=0)
    if largest > _MOST:
        raise DataError(
            f"{city.name} has a reading of {largest:.3g} {city.unit}; readings must be within "
            f"{_MOST:g}, so that their squares can be computed"
        )
    for protocol in protocols:
        config = RunConfig.preset(preset, "cnn", "none", protocol, **settings)
        numbers = range(PROTOCOLS[protocol].folds)
        folds = [Fold(city, protocol, number, parts=config.parts) for number in numbers]
        for fold in folds:
            _require_others(fold, protocol)
            Scaler.fit(fold.windows.city, parts=config.parts)
            fold.windows.times("train")
            if not len(fold.scored("validation", fold.learned, config.validation_times)[0]):
                raise DataError(
                    f"the validation part of {city.name} has no reading that could be estimated "
                    "from another station"
                )
        for part in TESTED_PARTS:
            _require_scores(city, folds, part, config.test_times)


def require_scale(city: CityData, config: RunConfig) -> None:
    """Raise `DataError` if the readings that a run may know cannot be scaled."""
    for fold in folds_of(config):
        Scaler.fit(fold.fold_of(city).windows.city, config.scaling, config.parts)


def _require_scores(city: CityData, folds: list[Fold], part: Part, count: int | None) -> None:
    """Raise `DataError` if no station has the readings that scores need."""
    tables = []
    for fold in folds:
        times, stations = fold.scored(part, fold.tested, count)
        tables.append(estimates_table(city, times, stations, city.values[times, stations]))
    try:
        city_sprmse(pd.concat(tables), city)
    except DataError as error:
        raise DataError(f"the {part} part of {city.name} has too few readings: {error}") from error


def _require_others(fold: Fold, protocol: str) -> None:
    """Raise `DataError` if a station cannot be estimated from two others."""
    stations = len(fold.held_out)
    least = 2 if fold.held_out.any() else 3
    if stations - fold.held_out.sum() < least:
        raise DataError(
            f"protocol {protocol!r} estimates each station from at least two others; "
            f"{fold.city.name} has {stations} stations"
        )
