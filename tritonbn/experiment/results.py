"""A results folder: one city, one preset, and all runs made of them."""

import json
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from data_prep.city import CityData, DataError
from data_prep.files import atomic_path
from tritonbn.experiment.baselines import score_idw
from tritonbn.experiment.config import PRESETS, RunConfig
from tritonbn.experiment.dataset import Scaler
from tritonbn.experiment.evaluate import TrainedRun, evaluate, sp_scores
from tritonbn.experiment.protocol import PROTOCOLS, windows_of
from tritonbn.experiment.source import load_city
from tritonbn.experiment.train import StepInfo, load_run, train

BACKBONES = {"convlstm": "ConvLSTM", "cnn": "CNN"}
NORMS = ("none", "global", "local")
KEYS = ("protocol", "backbone", "norm", "seed")
SCORES = ("sprmse", "spmae", "mean_reading", "stations", "idw_sprmse", "idw_spmae")
COSTS = ("steps", "seconds", "device")


@dataclass(frozen=True)
class Results:
    """A folder with `config.json`, the prepared city in `data`, and one folder per run in `runs`.

    Parameters
    ----------
    directory : Path
        The folder.
    facts : mapping
        What `config.json` holds.
    city : CityData
        What `data` holds.
    """

    directory: Path
    facts: Mapping[str, Any]
    city: CityData

    @classmethod
    def prepare(
        cls,
        directory: Path,
        data: str,
        preset: str,
        protocols: Iterable[Any],
        grid: tuple[int, int] | None = None,
    ) -> "Results":
        """Open a folder, or make it with the city that `data` names.

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
            If the folder holds results of another `data`, `preset` or `grid`, or the city cannot
            be prepared or is too short or too empty. Then nothing is written.
        """
        if data not in ("synthetic", "senseurcity"):
            data = str(Path(data).resolve())
        if not (directory / "config.json").exists():
            _set_up(directory, data, preset, protocols, grid)
            return cls.open(directory)
        results = cls.open(directory)
        results._require(data=data, preset=preset, grid=grid)
        _require_trainable(results.city, results.facts["settings"], protocols)
        return results

    @classmethod
    def open(cls, directory: Path) -> "Results":
        """Open a folder that `prepare` made; `DataError` if it is none."""
        try:
            facts = json.loads((directory / "config.json").read_text(encoding="utf-8"))
            facts["grid"] = tuple(facts["grid"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{directory} is no results folder of tritonbn: {error}") from error
        return cls(directory, facts, CityData.load(directory / "data"))

    def _require(self, **wanted: Any) -> None:
        differ = [
            f"{name} is {self.facts.get(name)} there, {value} here"
            for name, value in wanted.items()
            if value is not None and self.facts.get(name) != value
        ]
        if differ:
            raise DataError(
                f"{self.directory} holds other results: {'; '.join(differ)}. Choose another --out"
            )

    def config(self, backbone: Any, norm: Any, protocol: Any, seed: int) -> RunConfig:
        """Return the configuration of one run of this folder."""
        return RunConfig(backbone, norm, protocol, seed, **self.facts["settings"])

    def run_directory(self, config: RunConfig) -> Path:
        """Return the folder of a run."""
        return self.directory / "runs" / config.name

    def finished(self, config: RunConfig) -> bool:
        """Whether a run is trained and tested."""
        return (self.run_directory(config) / "result.json").exists()

    def run(
        self,
        config: RunConfig,
        *,
        device: torch.device | None = None,
        on_step: Callable[[StepInfo], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Train and test one run, or go on where it was interrupted.

        Leaves `checkpoint.safetensors`, `stations.csv` and, last of all, `result.json` in the
        run's folder. The callables are those of `train` and `evaluate`.

        Returns
        -------
        dict
            The row of `runs`.
        """
        directory = self.run_directory(config)
        run = train(self.city, config, directory, device=device, on_step=on_step)
        scores, stations = score_run(run, self.city, on_progress=on_progress)
        with atomic_path(directory / "stations.csv") as path:
            stations.to_csv(path, index=False)
        _write_json(directory / "result.json", {**scores, "history": run.history})
        return scores

    def runs(self) -> pd.DataFrame:
        """Return one row per finished run.

        Returns
        -------
        DataFrame
            `protocol`, `backbone`, `norm`, `seed`; `sprmse`, `spmae` and `mean_reading` (unit of
            the city) over `stations` stations; `idw_sprmse` and `idw_spmae` of IDW on the same
            readings; `steps`, `seconds`, `device`. Ordered by the first four, norms as in `NORMS`.
        """
        rows = [result for result, _ in self._finished()]
        return pd.DataFrame(rows, columns=[*KEYS, *SCORES, *COSTS])

    def stations(self) -> pd.DataFrame:
        """Return one row per finished run and station, the rows of `score_run`."""
        return pd.concat(
            pd.read_csv(directory / "stations.csv", dtype={"station": str})
            for _, directory in self._finished()
        )

    def histories(self) -> pd.DataFrame:
        """Return one row per finished run and validation: the run, then the entry of `history`."""
        return pd.concat(
            pd.DataFrame(result["history"]).assign(**{key: result[key] for key in KEYS})
            for result, _ in self._finished()
        )

    def _finished(self) -> list[tuple[dict[str, Any], Path]]:
        found = [
            (json.loads(path.read_text(encoding="utf-8")), path.parent)
            for path in self.directory.glob("runs/*/result.json")
        ]
        return sorted(found, key=lambda pair: _order(pair[0]))


def _order(result: Mapping[str, Any]) -> tuple[int, ...]:
    return (
        [*PROTOCOLS].index(result["protocol"]),
        [*BACKBONES].index(result["backbone"]),
        NORMS.index(result["norm"]),
        result["seed"],
    )


def _set_up(
    directory: Path,
    data: str,
    preset: str,
    protocols: Iterable[Any],
    grid: tuple[int, int] | None,
) -> None:
    city = load_city(data, grid)
    _require_trainable(city, PRESETS[preset], protocols)
    city.save(directory / "data")
    facts = {
        "data": data,
        "preset": preset,
        "grid": city.grid,
        "settings": PRESETS[preset],
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("tritonbn", "torch", "numpy", "pandas")},
        },
    }
    _write_json(directory / "config.json", facts)


def _require_trainable(
    city: CityData, settings: Mapping[str, int], protocols: Iterable[Any]
) -> None:
    """Raise `DataError` where training or test would, before any time is spent on them."""
    Scaler.fit(city)
    for protocol in protocols:
        config = RunConfig("convlstm", "none", protocol, **settings)
        windows = windows_of(city, config)
        windows.times("train")
        windows.times("validation")
        sp_scores(score_idw(city, config))


def score_run(
    run: TrainedRun, city: CityData, *, on_progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Test a run, beside IDW on the same readings.

    Returns
    -------
    scores : dict
        The row of `Results.runs`.
    stations : DataFrame, one row per station
        The run's protocol, backbone, norm and seed; what `evaluate` says; `idw_rmse`, `idw_mae`.
    """
    key = {name: getattr(run.config, name) for name in KEYS}
    stations = evaluate(run, city, on_progress=on_progress)
    idw = score_idw(city, run.config)
    idw_scores = sp_scores(idw)
    scores = {
        **key,
        **sp_scores(stations),
        "idw_sprmse": idw_scores["sprmse"],
        "idw_spmae": idw_scores["spmae"],
        "steps": run.steps,
        "seconds": run.seconds,
        "device": run.model.head.weight.device.type,
    }
    keys = pd.DataFrame([key] * len(stations))
    beside = idw[["rmse", "mae"]].add_prefix("idw_")
    return scores, pd.concat([keys, stations, beside], axis=1)


def open_run(directory: Path, device: torch.device | None = None) -> tuple[Results, TrainedRun]:
    """Open a run by its own folder, and the results folder around it.

    Raises
    ------
    DataError
        If `directory` is no run.
    """
    if not (directory / "checkpoint.safetensors").exists():
        raise DataError(
            f"{directory} is no run: expected a folder that tritonbn trained a model in, such as "
            "results/synthetic/runs/convlstm-local-paper-0"
        )
    results = Results.open(directory.resolve().parents[1])
    return results, load_run(directory, results.city, device=device)


def _write_json(path: Path, facts: Mapping[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
