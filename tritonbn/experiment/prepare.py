"""Make a results folder: prepare the city, and make sure that it can be trained on."""

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from data_prep.city import CityData, DataError
from data_prep.sources import SOURCES, is_quickly_read, load_city
from tritonbn.experiment.checkpoint import identity
from tritonbn.experiment.config import PRESETS, WIDE
from tritonbn.experiment.dataset import DEFAULT_PARTS, Part, Scaler
from tritonbn.experiment.folds import TESTED_PARTS, Fold
from tritonbn.experiment.protocol import PROTOCOLS
from tritonbn.experiment.results import CONFIG, FORMAT, Results, write_json
from tritonbn.experiment.scores import city_sprmse, estimates_table


def prepare(
    directory: Path,
    data: str,
    preset: str,
    protocols: Iterable[str],
    grid: tuple[int, int] | None = None,
) -> Results:
    """Open a results folder, or make it with the city that `data` names.

    Parameters
    ----------
    directory : Path
        The folder. `data` is prepared only if it is not there yet.
    data : str
        As of `load_city`.
    preset : str
        A key of `PRESETS`.
    protocols : iterable of str
        What will be run: the city must be long enough for each.
    grid : (int, int), optional
        As of `load_city`; in a folder that is there, default what it has.

    Raises
    ------
    DataError
        If the folder holds results of another `data`, `preset` or `grid`, or of readings that have
        changed since, or the city cannot be prepared or is too short or too empty. Then nothing is
        written.
    """
    if data not in SOURCES:
        data = str(Path(data).resolve())
    if not (directory / CONFIG).exists():
        _set_up(directory, data, preset, protocols, grid)
        return Results.open(directory)
    results = Results.open(directory)
    _require_same(results, data=data, preset=preset, grid=grid)
    _require_unchanged(results, data)
    _require_trainable(results.city, results.facts["settings"], protocols)
    return results


def _require_same(results: Results, **wanted: Any) -> None:
    there = results.facts
    differ = [
        f"{name} is {there.get(name)} there, {value} here"
        for name, value in wanted.items()
        if value is not None and there.get(name) != value
    ]
    if differ:
        raise DataError(
            f"{results.directory} holds other results: {'; '.join(differ)}. Choose another --out"
        )


def _require_unchanged(results: Results, data: str) -> None:
    """Raise `DataError` if a city that is quickly read is not the one of the results any more."""
    if is_quickly_read(data):
        now = identity(load_city(data, grid=results.city.grid))
        changed = [name for name, there in identity(results.city).items() if now[name] != there]
        if changed:
            raise DataError(
                f"the {' and '.join(changed)} of {data} have changed since {results.directory} was "
                "made; choose another --out"
            )


def _set_up(
    directory: Path,
    data: str,
    preset: str,
    protocols: Iterable[str],
    grid: tuple[int, int] | None,
) -> None:
    city = load_city(data, grid=grid)
    _require_trainable(city, PRESETS[preset], protocols)
    city.save(directory / "data")
    facts = {
        "data": data,
        "preset": preset,
        "grid": city.grid,
        "settings": PRESETS[preset],
        "wide": WIDE,
        "format": FORMAT,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("tritonbn", "torch", "numpy", "pandas")},
        },
    }
    write_json(directory / CONFIG, facts)


def _require_trainable(
    city: CityData, settings: Mapping[str, Any], protocols: Iterable[str]
) -> None:
    """Raise `DataError` where training or test would, before any time is spent on them."""
    for protocol in protocols:
        parts = settings.get("parts", DEFAULT_PARTS)
        numbers = range(PROTOCOLS[protocol].folds)
        folds = [Fold(city, protocol, number, parts=parts) for number in numbers]
        for fold in folds:
            _require_others(fold, protocol)
            Scaler.fit(fold.windows.city, parts=parts)
            fold.windows.times("train")
            count = settings.get("validation_times")
            if not len(fold.scored("validation", fold.learned, count)[0]):
                raise DataError(
                    f"{city.name} has no reading in its validation part that another station's "
                    "could inform a model of"
                )
        for part in TESTED_PARTS:
            _require_scores(city, folds, part, settings.get("test_times"))


def _require_scores(city: CityData, folds: list[Fold], part: Part, count: int | None) -> None:
    """Raise `DataError` where no station has the readings that scores need."""
    tables = []
    for fold in folds:
        times, stations = fold.scored(part, fold.tested, count)
        tables.append(estimates_table(city, times, stations, city.values[times, stations]))
    try:
        city_sprmse(pd.concat(tables), city)
    except DataError as error:
        raise DataError(f"the {part} part of {city.name} has too few readings: {error}") from error


def _require_others(fold: Fold, protocol: str) -> None:
    """Raise `DataError` where a station cannot be estimated from two others."""
    stations = len(fold.absent)
    least = 2 if fold.absent.any() else 3
    if stations - fold.absent.sum() < least:
        raise DataError(
            f"{fold.city.name} has {stations} stations; under {protocol} each is estimated from "
            "two others or more"
        )
