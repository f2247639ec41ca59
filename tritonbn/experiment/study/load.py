"""Load a run from its folder."""

import warnings
from pathlib import Path

import torch

from data_prep.city import DataError
from tritonbn.experiment.networks.checkpoint import FILE_NAME
from tritonbn.experiment.networks.trained import load_network
from tritonbn.experiment.run import Run
from tritonbn.experiment.study.results import RESULT, Results, read_record
from tritonbn.experiment.task.record import REFERENCE


def open_run(directory: Path, device: torch.device | None = None) -> tuple[Results, Run]:
    """Open a run by its folder, and the results folder around it.

    Parameters
    ----------
    directory : Path
        The folder of a run in a results folder; of a run with several folds, also the folder of
        one fold.
    device : torch.device, optional
        Default: the GPU if there is one.

    Warns
    -----
    RuntimeWarning
        If the run is not finished.

    Raises
    ------
    DataError
        If `directory` is no run, or in no results folder.
    CheckpointError
        If the checkpoint cannot be read.
    """
    folds = [path.parent for path in sorted(directory.glob(f"fold*/{FILE_NAME}"))]
    if not folds and not (directory / FILE_NAME).exists():
        raise DataError(
            f"{directory} is no run: expected a folder in which a network was trained, such as "
            "results/synthetic/runs/convlstm-dense-local-paper-0"
        )
    around = [path.parent for path in directory.resolve().parents if path.name == "runs"]
    if not around:
        raise DataError(
            f"{directory} is not inside a results folder, which is needed for the city of the run"
        )
    results = Results.open(around[0])
    networks = [load_network(fold, results.city, device) for fold in folds or [directory]]
    config = networks[0].config
    if not any((folder / RESULT).exists() for folder in (directory, directory.resolve().parent)):
        warnings.warn(
            f"the run {config.name} is not finished; its networks may not be fully trained",
            RuntimeWarning,
            stacklevel=3,
        )
    record = read_record(directory) if (directory / RESULT).exists() else None
    known = results.has_baseline(REFERENCE, config.protocol)
    reference = results.reference(config.protocol) if known else None
    return results, Run(results.city, config, networks, record=record, reference=reference)
