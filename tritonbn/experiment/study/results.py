"""`Results`: a folder with one city, one preset, and all runs and baselines made of them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data_prep.city import CityData, DataError
from data_prep.files import atomic_path
from tritonbn.experiment.baselines import BASELINES, evaluate_baseline
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.network import Network
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.task.parts import Part
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.record import COLUMNS, KEYS, NO_NORM, REFERENCE, Record

CONFIG = "config.json"
"""The file that makes a folder a results folder; it is written last."""

RESULT = "result.json"
"""The file that makes the folder of a run or a baseline complete; it is written last."""

FORMAT = 6
"""Of the folder; raised whenever older results must not be mixed with new ones."""

FILES: dict[Part, str] = {"test": "estimates.parquet", "validation": "validation.parquet"}
"""The file of the estimates of each part; Parquet has no times in seconds, only finer ones."""


@dataclass(frozen=True)
class Results:
    """A results folder.

    It has `config.json`, the prepared city in `data`, one folder per run in `runs`, and one per
    baseline and protocol in `baselines`. Each of these has `result.json`, which is written last,
    `estimates.parquet` and `validation.parquet` (the estimates of the test and of the validation
    part) and `stations.csv`; a run also has a checkpoint.

    Parameters
    ----------
    directory : Path
        The folder.
    facts : mapping
        The content of `config.json`.
    city : CityData
        The city in `data`.
    """

    directory: Path
    facts: Mapping[str, Any]
    city: CityData

    @classmethod
    def open(cls, directory: Path) -> "Results":
        """Open a results folder.

        Raises
        ------
        DataError
            If `directory` is no results folder of this version.
        """
        try:
            facts = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
            facts["grid"] = tuple(facts["grid"])
            there = facts.get("format")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{directory} is not a results folder of tritonbn: {error}") from error
        if there != FORMAT:
            raise DataError(
                f"{directory} was made by another version of tritonbn (format {there}, this one "
                f"reads {FORMAT}); choose another folder (--out)"
            )
        return cls(directory, facts, CityData.load(directory / "data"))

    @property
    def preset(self) -> str:
        """The preset of all runs."""
        return str(self.facts["preset"])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of all runs that differ from those of the preset."""
        return dict(self.facts["settings"])

    @property
    def is_begun(self) -> bool:
        """Whether there is a run, perhaps unfinished, or a baseline."""
        return any((self.directory / kind).exists() for kind in ("runs", "baselines"))

    def config(
        self, backbone: str, norm: str, protocol: str | None = None, **choices: Any
    ) -> RunConfig:
        """Return the configuration of a run of this folder; arguments of `RunConfig.preset`."""
        return RunConfig.preset(
            self.preset, backbone, norm, protocol, **{**self.settings, **choices}
        )

    def run_directory(self, config: RunConfig) -> Path:
        """Return the folder of a run."""
        return self.directory / "runs" / config.name

    def is_finished(self, config: RunConfig) -> bool:
        """Whether a run has been trained and tested in all of its folds."""
        return (self.run_directory(config) / RESULT).exists()

    def has_baseline(self, name: str, protocol: str) -> bool:
        """Whether a baseline has been tested."""
        return (self._baseline_directory(name, protocol) / RESULT).exists()

    def baseline(self, name: str, protocol: str) -> dict[str, Any]:
        """Test a baseline, unless this has been done before.

        Parameters
        ----------
        name : str
            A key of `BASELINES`.
        protocol : str
            A key of `PROTOCOLS`.

        Returns
        -------
        dict
            The row of `runs`.
        """
        directory = self._baseline_directory(name, protocol)
        if self.has_baseline(name, protocol):
            return read_json(directory / RESULT)
        like = self.config("cnn", "none", protocol)
        return self.add(evaluate_baseline(name, self.city, protocol, like.test_times, like.parts))

    def reference(self, protocol: str) -> Record:
        """Return what `REFERENCE` estimated; test it if this has not been done before."""
        self.baseline(REFERENCE, protocol)
        return read_record(self._baseline_directory(REFERENCE, protocol))

    def add(self, record: Record) -> dict[str, Any]:
        """Write what a run or a baseline estimated, and return its row of `runs`."""
        if record.norm == NO_NORM:
            directory = self._baseline_directory(record.model, record.protocol)
        else:
            name = f"{record.model}-{record.norm}-{record.protocol}-{record.seed}"
            directory = self.directory / "runs" / name
        reference = record if record.model == REFERENCE else self.reference(record.protocol)
        row = record.scores(self.city, reference.estimates["test"])
        for part, name in FILES.items():
            with atomic_path(directory / name) as path:
                record.estimates[part].to_parquet(path, index=False)
        with atomic_path(directory / "stations.csv") as path:
            record.stations(self.city).to_csv(path, index=False)
        write_json(directory / RESULT, {**row, "history": record.history})
        return row

    def runs(self) -> pd.DataFrame:
        """Return one row per finished run and tested baseline.

        Returns
        -------
        DataFrame
            The columns of `Run.scores`, ordered by protocol, model, norm and seed; baselines last.
        """
        return pd.DataFrame([result for result, _ in self._finished()], columns=COLUMNS)

    def stations(self) -> pd.DataFrame:
        """Return the scores of each station, for all rows of `runs`, as `Run.stations` does."""
        return pd.concat(_read_stations(directory) for _, directory in self._finished())

    def estimates(self) -> pd.DataFrame:
        """Return the estimates of the test, for all rows of `runs`, with the columns `KEYS`."""
        return pd.concat(
            _read_estimates(directory, "test").assign(**{key: result[key] for key in KEYS})
            for result, directory in self._finished()
        )

    def histories(self) -> pd.DataFrame:
        """Return one row per run, fold and validation during training, with the columns `KEYS`."""
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

    def _baseline_directory(self, name: str, protocol: str) -> Path:
        return self.directory / "baselines" / f"{name}-{protocol}"

    def _finished(self) -> list[tuple[dict[str, Any], Path]]:
        found = [
            (read_json(path), path.parent)
            for kind in ("runs", "baselines")
            for path in self.directory.glob(f"{kind}/*/{RESULT}")
        ]
        return sorted(found, key=lambda pair: _order(pair[0]))


def _order(result: Mapping[str, Any]) -> tuple[object, ...]:
    protocol, model = [*PROTOCOLS].index(result["protocol"]), result["model"]
    if model in BASELINES:
        return protocol, 1, [*BASELINES].index(model)
    return (
        protocol,
        0,
        Network.named(model).order,
        [*NORMS].index(result["norm"]),
        result["seed"],
    )


def read_record(directory: Path) -> Record:
    """Read what a finished run or a tested baseline estimated, given its folder."""
    facts = read_json(directory / RESULT)
    estimates = {part: _read_estimates(directory, part) for part in FILES}
    names = (*KEYS, "steps", "seconds", "device", "history")
    with _intact(directory / RESULT):
        return Record(**{name: facts[name] for name in names}, estimates=estimates)


def _read_estimates(directory: Path, part: Part) -> pd.DataFrame:
    with _intact(directory / FILES[part]) as path:
        return pd.read_parquet(path).astype({"time": "datetime64[s]"})


def _read_stations(directory: Path) -> pd.DataFrame:
    with _intact(directory / "stations.csv") as path:
        return pd.read_csv(  # a station may be called NA
            path, dtype={"station": str}, keep_default_na=False, na_values=[""]
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read the facts of a JSON file.

    Raises
    ------
    DataError
        If it is damaged.
    """
    with _intact(path):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if missing := {*KEYS} - {*facts}:
            raise ValueError(f"it lacks {sorted(missing)}")
        return dict(facts)


@contextmanager
def _intact(path: Path) -> Iterator[Path]:
    """Raise `DataError` if a file cannot be read; a damaged one raises errors of many types."""
    try:
        yield path
    except Exception as error:
        raise DataError(
            f"{path} cannot be read: {error}; remove the folder {path.parent}, and the same "
            "command makes its content again"
        ) from error


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts to a JSON file, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
