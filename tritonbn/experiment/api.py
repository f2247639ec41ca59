"""`train`, `compare` and `load_run`: the experiment from Python."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from rich.console import Console

from data_prep.city import CityData
from data_prep.files import only_writer
from tritonbn.experiment.networks.config import RunConfig, integer
from tritonbn.experiment.networks.folds import evaluate_networks, train_folds
from tritonbn.experiment.run import Run
from tritonbn.experiment.study.compare import fill_results, report_comparison
from tritonbn.experiment.study.display import RunDisplay
from tritonbn.experiment.study.load import open_run
from tritonbn.experiment.study.plan import Plan
from tritonbn.experiment.study.prepare import open_results, preset_of, require_trainable
from tritonbn.experiment.study.runner import make_runs
from tritonbn.experiment.study.settings import OF_COMPARISON, require_free
from tritonbn.experiment.study.workers import workforce_of
from tritonbn.models.head import HeadName

Device = torch.device | str | None


def train(
    city: CityData,
    backbone: str,
    *,
    norm: str = "local",
    design: str = "published",
    head: HeadName | None = None,
    protocol: str | None = None,
    preset: str | None = None,
    scaling: str | None = None,
    without: Sequence[str] = (),
    seed: int = 0,
    directory: str | Path | None = None,
    device: Device = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Train and test one network.

    Parameters
    ----------
    city : CityData
        From `data_prep.load_city`. Its times are divided in chronological order into training,
        validation and test.
    backbone : {"convlstm", "cnn", "cnn-lstm"}
    norm : str
        The normalization, such as ``"none"``, ``"global"`` or ``"local"``; see `RunConfig`.
        Default ``"local"``.
    design : {"published", "residual"}
        ``"residual"`` networks are designed for interpolation: they predict the residual of inverse
        distance weighting. Default ``"published"``.
    head : {"dense", "convolution"}, optional
        Default: ``"dense"``; residual networks have ``"convolution"``.
    protocol : {"paper", "masked", "unseen"}, optional
        Which stations are hidden, and when. Default: ``"paper"``; ``"masked"`` for residual
        networks.
    preset : {"quick", "thorough", "paper"}, optional
        The settings of the training; see `RunConfig.preset`. Default: that of the results in
        `directory`, else ``"quick"``.
    scaling : {"maximum", "percentile", "all"}, optional
        Which reading is scaled to 1. Default: that of the preset.
    without : sequence of str
        What a residual network is trained without; see `RunConfig`. Default: nothing.
    seed : int
        Default 0.
    directory : str or Path, optional
        A results folder, which is created if it does not exist. A finished run in it is loaded, and
        an interrupted one resumes from its checkpoint. Default: nothing is written.
    device : torch.device or str, optional
        Default: the GPU if there is one.
    progress : bool
        Whether to show a progress bar. Default True.
    **settings
        Other arguments of `RunConfig` in place of those of the preset, such as ``steps=100``.

    Returns
    -------
    Run
        With its scores, estimates, maps and figures.

    Raises
    ------
    ConfigError
        If an argument, or the combination of arguments, is not allowed, such as ``fold``: a run
        has all folds of its protocol.
    TypeError
        If a setting is no argument of `RunConfig`.
    DataError, FolderInUseError
        If the city has too few stations or readings, or a unit that the network cannot read,
        `directory` holds other results, or another process writes to it.
    CheckpointError
        If a checkpoint in `directory` is damaged or belongs to another run.
    FloatingPointError
        If the loss becomes infinite or NaN.

    Examples
    --------
    >>> from data_prep import load_city
    >>> from tritonbn.experiment import train
    >>> city = load_city("synthetic", days=7, grid=(8, 8))
    >>> run = train(city, "cnn", norm="local", steps=2, test_times=40, progress=False)
    >>> run.estimates().columns.to_list()
    ['time', 'station', 'reading', 'estimate']
    """
    require_free(settings)
    where = None if directory is None else Path(directory)
    preset = preset_of(where, preset, "quick")
    config = RunConfig.preset(
        preset,
        backbone,
        norm,
        protocol,
        design=design,
        head=head,
        scaling=scaling,
        without=without,
        seed=seed,
        **settings,
    )
    console, on = _console(progress), _device(device)
    if where is not None:
        with only_writer(where):
            results = open_results(where, city, [config.protocol], preset=preset, settings=settings)
            make_runs(results, [config], on, console)
        return load_run(results.run_directory(config), device=device)
    require_trainable(city, [config.protocol], preset, settings)
    with RunDisplay(1, console) as display:
        display.start(config.name)
        networks = train_folds(city, config, device=on, on_step=partial(display.on_step, config))
        record = evaluate_networks(city, config, networks, partial(display.on_progress, config))
        run = Run(city, config, networks, record=record)
        display.finish(config.name, run.row())
    return run


def compare(
    city: CityData,
    *,
    backbones: Sequence[str] = ("convlstm", "cnn"),
    designs: Sequence[str] = ("published", "residual"),
    heads: Sequence[HeadName] | None = None,
    norms: Sequence[str] = ("none", "global", "local"),
    baselines: Sequence[str] | None = None,
    protocols: Sequence[str] = ("masked", "unseen"),
    scalings: Sequence[str] | None = None,
    without: Sequence[str] = (),
    seeds: int = 5,
    preset: str | None = None,
    directory: str | Path | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    device: Device = None,
    progress: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """Train networks, fit baselines under the same protocols, and compare their scores.

    All combinations of the choices are made, except those that make no sense, such as residual
    networks under the protocol ``"paper"``, which hides no station in training.

    Parameters
    ----------
    city : CityData
        From `data_prep.load_city`.
    backbones : sequence of {"convlstm", "cnn", "cnn-lstm"}
        Default: ``("convlstm", "cnn")``.
    designs : sequence of {"published", "residual"}
        Default: both.
    heads : sequence of {"dense", "convolution"}, optional
        Heads of the published networks. Default: ``("dense",)``.
    norms : sequence of str
        Default: ``("none", "global", "local")``.
    baselines : sequence of str, optional
        Any of ``mean-own``, ``mean``, ``nearest``, ``idw``, ``idw-offset``, ``kriging``, ``gp``,
        ``ridge`` and ``boosting``. Default: all that a protocol allows. Those that cannot be
        fitted to the city are left out, with a warning. IDW is always there, as the reference of
        the skill.
    protocols : sequence of {"paper", "masked", "unseen"}
        Default: ``("masked", "unseen")``.
    scalings : sequence of {"maximum", "percentile", "all"}, optional
        Scalings of the published networks. Default: that of the preset.
    without : sequence of str
        Options that a residual network is trained without, one at a time, besides the network that
        has all of them; see `RunConfig`. Default: none.
    seeds : int
        Each network is trained with the seeds 0, 1, ... Default 5.
    preset : {"quick", "thorough", "paper"}, optional
        See `RunConfig.preset`. Default: that of the results in `directory`, else ``"thorough"``.
    directory : str or Path, optional
        A results folder, which is created if it does not exist. Finished runs in it are kept, and
        interrupted ones resume from their checkpoint. It receives tables, figures and
        ``report.html``. Default: nothing is kept but the returned table.
    jobs : int
        How many runs at the same time. Default 1.
    scheduler : str, optional
        The address of a Dask scheduler, such as ``tcp://HOST:8786``, whose workers make the runs;
        `jobs` is then not used. Needs ``pip install 'tritonbn[dask]'``.
    device : torch.device or str, optional
        Default: the GPU if there is one.
    progress : bool
        Whether to show progress bars. Default True.
    **settings
        Other arguments of `RunConfig` for all runs in place of those of the preset, such as
        ``steps=100``.

    Returns
    -------
    DataFrame
        One row per run and baseline, with the columns of `Run.scores`.

    Warns
    -----
    RuntimeWarning
        If a baseline is left out, because it cannot be fitted to the city, or a run, because its
        loss has become infinite or NaN.

    Raises
    ------
    ConfigError
        Before any run: if a name is unknown, a choice takes part in no run, a network refuses a
        setting, a setting is decided by another argument, as ``head`` by `heads`, a library of a
        baseline is not installed, or the scheduler cannot be reached.
    TypeError
        Before any run: if a setting is no argument of `RunConfig`.
    DataError, FolderInUseError
        Before any run: if the city has too few stations or readings, or readings in a unit that a
        network cannot read or that cannot be scaled, `directory` holds other results, or another
        process writes to it.
    CheckpointError
        If a checkpoint in `directory` is damaged or belongs to another run.
    FloatingPointError
        If the loss of every run becomes infinite or NaN.
    WorkersLostError
        If processes or workers of the cluster have ended; the same call resumes the work.

    Examples
    --------
    >>> from data_prep import load_city
    >>> from tritonbn.experiment import compare
    >>> city = load_city("synthetic", days=7, grid=(8, 8))
    >>> table = compare(city, backbones=["cnn"], designs=["published"], norms=["none", "local"],
    ...                 baselines=["idw"], protocols=["masked"], seeds=1, steps=2, test_times=40,
    ...                 progress=False)
    >>> table[["model", "norm", "seed"]]
           model   norm  seed
    0  cnn-dense   none     0
    1  cnn-dense  local     0
    2        idw      -     0
    """
    require_free(settings, OF_COMPARISON)
    scaled = (None,) if scalings is None else scalings
    jobs = integer("jobs", jobs, least=1)
    plan = Plan(backbones, designs, heads, norms, protocols, scaled, without, baselines, seeds)
    where = None if directory is None else Path(directory)
    preset = preset_of(where, preset, "thorough")
    with (
        nullcontext(where) if where is not None else TemporaryDirectory() as folder,
        only_writer(Path(folder)),
    ):
        results = open_results(Path(folder), city, protocols, preset=preset, settings=settings)
        workforce = workforce_of(jobs, scheduler)
        fill_results(results, plan, workforce, _device(device), _console(progress))
        if where is not None:
            report_comparison(results)
        return results.runs()


def load_run(directory: str | Path, *, device: Device = None) -> Run:
    """Load a run that `train`, `compare` or the command line left in a results folder.

    Parameters
    ----------
    directory : str or Path
        The folder of the run, such as ``results/synthetic/runs/cnn-dense-local-paper-0``. Of a run
        with several folds also the folder of one fold.
    device : torch.device or str, optional
        Default: the GPU if there is one.

    Returns
    -------
    Run
        With the weights of the best validation, also if training was interrupted.

    Warns
    -----
    RuntimeWarning
        If the run is not finished.

    Raises
    ------
    DataError
        If `directory` is no run.
    CheckpointError
        If its checkpoint is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from data_prep import load_city
    >>> from tritonbn.experiment import load_run, train
    >>> city = load_city("synthetic", days=7, grid=(8, 8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = train(city, "cnn", directory=folder, steps=2, test_times=40, progress=False)
    ...     load_run(f"{folder}/runs/{run.config.name}").config == run.config
    True
    """
    return open_run(Path(directory), _device(device))[1]


def _console(progress: bool) -> Console:
    return Console(quiet=not progress)


def _device(device: Device) -> torch.device | None:
    return None if device is None else torch.device(device)
