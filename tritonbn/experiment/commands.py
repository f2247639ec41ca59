"""What the commands of the experiment do; `tritonbn.cli` has their options."""

import argparse
import errno
import os
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import Progress

from data_prep.city import DataError
from data_prep.sources import load_city
from tritonbn.experiment.baselines import rivals_of
from tritonbn.experiment.compare import compare
from tritonbn.experiment.config import (
    ARM_NAMES,
    ARMS,
    NETWORKS,
    Network,
    is_wide,
    published_arms,
    refusal,
)
from tritonbn.experiment.display import score_tables, text_table
from tritonbn.experiment.evaluate import evaluate, predict_field
from tritonbn.experiment.fields import interpolate, times_of, write_field
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.heatmap import draw_heatmap, find_station, find_time, typical_time
from tritonbn.experiment.plots import save
from tritonbn.experiment.prepare import prepare
from tritonbn.experiment.reproduce import reproduce
from tritonbn.experiment.results import COLUMNS, REFERENCE, Results, key_of, open_run
from tritonbn.experiment.rivals import RIVALS
from tritonbn.experiment.runner import make_runs
from tritonbn.experiment.table import station_rows
from tritonbn.models.head import HeadName


def _prepare(
    options: argparse.Namespace, protocols: Sequence[str], default_preset: str = "quick"
) -> Results:
    """Open or make the results folder that the options name."""
    out = options.out or Path(
        "results", Path(options.data).resolve().name.removesuffix(".zip").removesuffix(".Rda")
    )
    _require_writable(out)
    there = Results.open(out).facts["preset"] if (out / "config.json").exists() else default_preset
    preset = options.preset or there
    return prepare(out, options.data, preset, protocols, options.grid)


def _require_writable(directory: Path) -> None:
    """Raise before a long preparation what writing would raise after it."""
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def run_reproduce(options: argparse.Namespace, console: Console) -> None:
    """Make the six published models, and what there is to see of them."""
    protocols = list(dict.fromkeys(options.protocol))
    results = _prepare(options, protocols)
    arms = published_arms(options.head, options.scaling)
    reproduce(results, protocols, arms, options.seeds, options.station, options.device, console)


def run_compare(options: argparse.Namespace, console: Console) -> None:
    """Compare networks and rivals."""
    rivals = list(RIVALS) if options.rivals is None else options.rivals
    unknown = [name for name in rivals if name not in RIVALS]
    if unknown:
        raise DataError(f"--rivals must be of {', '.join(RIVALS)}, got {', '.join(unknown)}")
    libraries = {RIVALS[name].requires for name in rivals} - {None}
    missing = sorted(library for library in libraries if library and not find_spec(library))
    if missing:
        raise DataError(
            f"rivals need {', '.join(missing)}: pip install 'tritonbn[rivals]', or choose others "
            "with --rivals"
        )
    protocols = list(dict.fromkeys(options.protocol))
    groups = {name: ARMS.get(name) or [ARM_NAMES[name]] for name in options.arms}
    if "published" in groups:
        heads = [published_arms(head) for head in options.head]
        groups["published"] = [arm for arms in heads for arm in arms]
    arms = list(dict.fromkeys(arm for group in groups.values() for arm in group))
    for name, group in groups.items():
        reasons = [[refusal(*arm, protocol) for protocol in protocols] for arm in group]
        if all(map(all, reasons)):
            raise DataError(f"--protocol {' '.join(protocols)} allows no {name}: {reasons[0][0]}")
    wanted = [
        (network, norm, protocol, seed)
        for protocol, seed, (network, norm) in product(protocols, range(options.seeds), arms)
        if not refusal(network, norm, protocol)
    ]
    allowed = {name for protocol in protocols for name in rivals_of(protocol)}
    senseless = [name for name in options.rivals or [] if name not in allowed]
    if senseless:
        raise DataError(f"--protocol {' '.join(protocols)} allows no {', '.join(senseless)}")
    if not wanted and not rivals:
        raise DataError("nothing to compare: --arms and --rivals are both empty")
    results = _prepare(options, protocols, "thorough")
    configs = [results.config(*run) for run in wanted]
    compare(results, protocols, configs, rivals, options.jobs, options.device, console)


def run_train(options: argparse.Namespace, console: Console) -> None:
    """Train and test one model."""
    protocol = options.protocol or ("masked" if is_wide(options.model) else "paper")
    if is_wide(options.model) and options.scaling:
        raise DataError("wide networks scale each sample by itself: leave out --scaling")
    head: HeadName = options.head or ("convolution" if is_wide(options.model) else "dense")
    network = Network(options.model, head, options.scaling)
    if network not in NETWORKS.values():
        raise DataError(f"there is no {network.title}; choose another --head or --scaling")
    if reason := refusal(network.name, options.norm, protocol):
        raise DataError(reason)
    results = _prepare(options, [protocol])
    config = results.config(network.name, options.norm, protocol, options.seed)
    make_runs(results, [config], options.device, console)
    console.print(f"The run is in {results.run_directory(config)}", soft_wrap=True)


def run_evaluate(options: argparse.Namespace, console: Console) -> None:
    """Test a trained model station by station."""
    results, run = open_run(options.directory, options.device)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(run.config.name)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        estimates = evaluate(run, results.city, on_progress=on_progress)
    reference = results.reference(run.config.protocol)
    reference = reference[reference["station"].isin(estimates["station"])]
    key = key_of(run.config)
    of_idw = {**key, "model": REFERENCE, "norm": "-"}
    scored = [results.score(key, estimates), results.score(of_idw, reference)]
    stations = pd.concat([table for _, table in scored])
    console.print(text_table(station_rows(stations), f"RMSE at each station, {results.city.unit}"))
    scores = pd.DataFrame([scores for scores, _ in scored], columns=COLUMNS)
    console.print(*score_tables(scores), sep="\n")


def run_heatmap(options: argparse.Namespace, console: Console) -> None:
    """Draw what a model makes of one time."""
    if options.out is not None and options.out.suffix != ".png":
        raise DataError(f"--out must be a file that ends in .png, got {options.out}")
    results, run = open_run(options.directory, options.device)
    city = results.city
    hidden = find_station(city, options.station, run.config)
    wanted = options.time
    time = find_time(city, wanted, hidden) if wanted else typical_time(city, hidden, run.config)
    out = options.out or options.directory / f"heatmap_{city.cells[hidden]}.png"
    field = predict_field(run, city, time, hidden)
    save(draw_heatmap(city, time, hidden, {run.config: field}), out)
    console.print(f"The heatmap is in {out}", soft_wrap=True)


def run_map(options: argparse.Namespace, console: Console) -> None:
    """Write the field that a model interpolates."""
    _require_writable(options.out)
    checkpoints = dict.fromkeys(checkpoint.resolve() for checkpoint in options.checkpoint)
    opened = [open_run(checkpoint, options.device) for checkpoint in checkpoints]
    results, *others = (results for results, _ in opened)
    if any(other.directory.resolve() != results.directory.resolve() for other in others):
        raise DataError("the checkpoints must be runs of one results folder")
    city = results.city
    if options.data is not None:
        city = city.with_readings_of(load_city(options.data, grid=city.grid))
    times = times_of(city, options.time)
    runs = [run for _, run in opened]
    dataset = interpolate(runs, city, times)
    for path in write_field(dataset, city, Fold.of(city, runs[0].config).absent, options.out):
        console.print(f"Wrote {path}", soft_wrap=True)
