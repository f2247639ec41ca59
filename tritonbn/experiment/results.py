"""A results folder: one city, one preset, and all runs made of them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch

from data_prep.city import CityData, DataError
from data_prep.files import atomic_path
from tritonbn.experiment.baselines import estimate_by_rival
from tritonbn.experiment.config import (
    CNN_LSTM,
    CONVOLUTION,
    NETWORKS,
    NORMS,
    RunConfig,
    is_wide,
    lacks_of,
)
from tritonbn.experiment.dataset import DEFAULT_PARTS, Part
from tritonbn.experiment.evaluate import TrainedRun, evaluate
from tritonbn.experiment.folds import TESTED_PARTS
from tritonbn.experiment.protocol import PROTOCOLS
from tritonbn.experiment.rivals import RIVALS
from tritonbn.experiment.scores import (
    city_scores,
    city_sprmse,
    joined,
    skill,
    station_scores,
)
from tritonbn.experiment.train import StepInfo, load_run, train

CONFIG = "config.json"
"""The file that makes a folder one of results."""

KEYS = ("protocol", "model", "norm", "seed")
COLUMNS = (
    *KEYS,
    *("sprmse", "spmae", "mean_reading", "stations", "time_rmse", "bias", "r2", "skill"),
    *("validation_sprmse", "steps", "seconds", "device"),
)
"""Of `results.csv`."""

FORMAT = 5
"""Of the folder; to be raised where older results must not be mixed with new ones."""

REFERENCE = "idw"
"""The rival that skill is measured against."""


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
    def open(cls, directory: Path) -> "Results":
        """Open a folder that `prepare` made; `DataError` if it is none."""
        try:
            facts = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
            facts["grid"] = tuple(facts["grid"])
            if (there := facts.get("format")) != FORMAT:
                raise ValueError(
                    f"another version made it (format {there}, this one reads {FORMAT})"
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{directory} is no results folder of tritonbn: {error}") from error
        return cls(directory, facts, CityData.load(directory / "data"))

    def config(self, network: str, norm: str, protocol: str, seed: int) -> RunConfig:
        """Return the configuration of one run of this folder, of a network of `NETWORKS`."""
        model, head, scaling = NETWORKS[network]
        settings: dict[str, Any] = {**self.facts["settings"], "head": head}
        if scaling is not None:
            settings["scaling"] = scaling
        if is_wide(model):
            settings |= self.facts["wide"].get(protocol, {})
        elif head == "convolution":
            settings |= CONVOLUTION
        if model == "cnn-lstm":
            settings |= CNN_LSTM
        if lacks_of(model) == "window":
            settings["timesteps"] = 1
        return RunConfig(model, norm, protocol, seed, **settings)

    def run_directory(self, config: RunConfig) -> Path:
        """Return the folder of a run, or of one fold of it."""
        fold = f"fold{config.fold}" if PROTOCOLS[config.protocol].folds > 1 else ""
        return self.directory / "runs" / config.name / fold

    def finished(self, config: RunConfig) -> bool:
        """Whether a run is trained and tested, in all of its folds."""
        return (self.directory / "runs" / config.name / "result.json").exists()

    def run(
        self,
        config: RunConfig,
        *,
        device: torch.device | None = None,
        on_step: Callable[[StepInfo], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Train and test one run in all folds, or go on where it was interrupted.

        Leaves the folder of `finished`, with `result.json` last of all. The callables are those of
        `train` and `evaluate`.

        Returns
        -------
        dict
            The row of `runs`.
        """
        tables, history = [], []
        steps, seconds, where = 0, 0.0, ""
        for number in range(PROTOCOLS[config.protocol].folds):
            fold = replace(config, fold=number)
            run = train(self.city, fold, self.run_directory(fold), device=device, on_step=on_step)
            tables.append(
                {
                    part: evaluate(run, self.city, part, on_progress=on_progress)
                    for part in TESTED_PARTS
                }
            )
            history += [{"fold": number, **entry} for entry in run.history]
            steps, seconds = steps + run.steps, seconds + run.seconds
            where = run.device.type
        costs = {"steps": steps, "seconds": seconds, "device": where}
        directory = self.directory / "runs" / config.name
        return self._write(directory, key_of(config), joined(tables), costs, history)

    def has_rival(self, name: str, protocol: str) -> bool:
        """Whether a rival is tested."""
        return (self._rival_directory(name, protocol) / "result.json").exists()

    def _rival_directory(self, name: str, protocol: str) -> Path:
        return self.directory / "rivals" / f"{name}-{protocol}"

    def rival(self, name: str, protocol: Any) -> dict[str, Any]:
        """Test a rival of the networks, unless that was done before.

        Parameters
        ----------
        name : str
            A key of `tritonbn.experiment.rivals.RIVALS`.
        protocol : str

        Returns
        -------
        dict
            The row of `runs`.
        """
        directory = self._rival_directory(name, protocol)
        if self.has_rival(name, protocol):
            return _read_json(directory / "result.json")
        started = perf_counter()
        settings = self.facts["settings"]
        count, parts = settings.get("test_times"), settings.get("parts", DEFAULT_PARTS)
        estimates = estimate_by_rival(name, self.city, protocol, count, parts)
        key = {"protocol": protocol, "model": name, "norm": "-", "seed": 0}
        costs = {"steps": 0, "seconds": perf_counter() - started, "device": "cpu"}
        return self._write(directory, key, estimates, costs, [])

    def score(
        self, key: dict[str, Any], estimates: pd.DataFrame
    ) -> tuple[dict[str, Any], pd.DataFrame]:
        """Score estimates of `evaluate`.

        Parameters
        ----------
        key : dict
            Protocol, model, norm and seed.
        estimates : DataFrame

        Returns
        -------
        scores : dict
            The row of `runs`, but for what it cost.
        stations : DataFrame
            The rows of `stations`.
        """
        table = station_scores(estimates, self.city)
        is_reference = key["model"] == REFERENCE
        reference = estimates if is_reference else self.reference(key["protocol"])
        cities = city_scores(estimates, table)
        scores = {**key, **cities, "skill": skill(estimates, reference)}
        return scores, table.assign(**key)[[*KEYS, *table.columns]]

    def _write(
        self,
        directory: Path,
        key: dict[str, Any],
        estimates: Mapping[Part, pd.DataFrame],
        costs: dict[str, Any],
        history: list[dict[str, Any]],
    ) -> dict[str, Any]:
        scores, stations = self.score(key, estimates["test"])
        validation = estimates["validation"]
        row = {**scores, "validation_sprmse": city_sprmse(validation, self.city), **costs}
        directory.mkdir(parents=True, exist_ok=True)
        for name, table in (("estimates", estimates["test"]), ("validation", validation)):
            with atomic_path(directory / f"{name}.parquet") as path:
                table.to_parquet(path, index=False)
        with atomic_path(directory / "stations.csv") as path:
            stations.to_csv(path, index=False)
        write_json(directory / "result.json", {**row, "history": history})
        return row

    def reference(self, protocol: str) -> pd.DataFrame:
        """Return the estimates of IDW; make them if they are not there."""
        self.rival(REFERENCE, protocol)
        return pd.read_parquet(self._rival_directory(REFERENCE, protocol) / "estimates.parquet")

    def runs(self) -> pd.DataFrame:
        """Return one row per finished run and tested rival.

        Returns
        -------
        DataFrame
            `protocol`, `model`, `norm` and `seed`; what `city_scores` returns; `skill` against
            IDW; `validation_sprmse`, at times of the validation part, of the stations that have
            readings enough there, hidden or absent as in the test; `steps` and `seconds` of all
            folds, `device`. Ordered by the first four, rivals last.
        """
        return pd.DataFrame([result for result, _ in self._finished()], columns=COLUMNS)

    def stations(self) -> pd.DataFrame:
        """Return the rows of `station_scores` of all that `runs` lists, each with its key."""
        return pd.concat(
            pd.read_csv(directory / "stations.csv", dtype={"station": str})
            for _, directory in self._finished()
        )

    def estimates(self) -> pd.DataFrame:
        """Return the estimates of all that `runs` lists, each with its key."""
        return pd.concat(
            pd.read_parquet(directory / "estimates.parquet").assign(
                **{key: result[key] for key in KEYS}
            )
            for result, directory in self._finished()
        )

    def histories(self) -> pd.DataFrame:
        """Return one row per run, fold and validation: the key, then the entry of `history`."""
        return pd.concat(
            pd.DataFrame(result["history"]).assign(**{key: result[key] for key in KEYS})
            for result, _ in self._finished()
            if result["history"]
        )

    def write_tables(self) -> None:
        """Write `runs` to `results.csv` and `stations` to `stations.csv`."""
        for name, table in (("results", self.runs()), ("stations", self.stations())):
            with atomic_path(self.directory / f"{name}.csv") as path:
                table.to_csv(path, index=False)

    def _finished(self) -> list[tuple[dict[str, Any], Path]]:
        found = [
            (_read_json(path), path.parent)
            for kind in ("runs", "rivals")
            for path in self.directory.glob(f"{kind}/*/result.json")
        ]
        return sorted(found, key=lambda pair: _order(pair[0]))


def key_of(config: RunConfig) -> dict[str, Any]:
    """Return what tells the rows of a run from those of others."""
    return {
        "protocol": config.protocol,
        "model": config.network,
        "norm": config.norm,
        "seed": config.seed,
    }


def _order(result: Mapping[str, Any]) -> tuple[int, ...]:
    models, norms = [*NETWORKS, *RIVALS], [*NORMS, "-"]
    return (
        [*PROTOCOLS].index(result["protocol"]),
        models.index(result["model"]),
        norms.index(result["norm"]),
        result["seed"],
    )


def open_run(directory: Path, device: torch.device | None = None) -> tuple[Results, TrainedRun]:
    """Open a run by its own folder, and the results folder around it.

    Raises
    ------
    DataError
        If `directory` is no run.
    """
    if (directory / "fold0").is_dir():
        raise DataError(f"{directory} has a training for each fold; name one, as {directory}/fold0")
    if not (directory / "checkpoint.safetensors").exists():
        raise DataError(
            f"{directory} is no run: expected a folder that tritonbn trained a model in, such as "
            "results/synthetic/runs/convlstm-dense-local-paper-0"
        )
    around = [path.parent for path in directory.resolve().parents if path.name == "runs"]
    if not around:
        raise DataError(f"{directory} is in no results folder, which holds the city of the run")
    results = Results.open(around[0])
    return results, load_run(directory, results.city, device=device)


def _read_json(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
