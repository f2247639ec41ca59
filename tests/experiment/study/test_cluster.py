"""Runs in a Dask cluster of two worker processes on this machine."""

import io
import os
import re
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

import tritonbn
from tritonbn.cli import main
from tritonbn.experiment.networks.checkpoint import FILE_NAME, CheckpointError
from tritonbn.experiment.networks.config import ConfigError
from tritonbn.experiment.networks.presets import PRESETS
from tritonbn.experiment.networks.trained import load_network
from tritonbn.experiment.study import cluster as dask_cluster
from tritonbn.experiment.study.display import RunDisplay
from tritonbn.experiment.study.prepare import open_results
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.runner import make_runs
from tritonbn.experiment.study.workers import Workers, WorkersLostError, workforce_of

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

SETTINGS = {
    "steps": 240,
    "batch_size": 4,
    "validate_every": 20,
    "validation_times": 2,
    "test_times": 40,
    "hidden": 10,
}


@pytest.fixture
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as started:
        yield started


@pytest.fixture
def results(city, tmp_path):
    return results_in(tmp_path / "results", city)


def results_in(directory, city):
    return open_results(directory, city, ["paper"], preset="quick", settings=SETTINGS)


def quiet():
    return Console(file=io.StringIO())


def configs_of(results, *norms):
    return [results.config("cnn", norm, "paper") for norm in norms]


def scores_of(results):
    table = results.runs().set_index(["model", "norm"])
    return table[["sprmse", "validation_sprmse", "steps"]].sort_index()


def wait_until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_a_killed_worker_is_replaced_and_its_run_resumes(
    cluster, results, city, tmp_path, monkeypatch
):
    configs = configs_of(results, "none", "local", "global")
    seen = {config.name: [] for config in configs}
    original = RunDisplay.on_step

    def on_step(self, config, info):
        if info.stopping_sprmse is not None:
            seen[config.name].append(info.step)
        original(self, config, info)

    monkeypatch.setattr(RunDisplay, "on_step", on_step)
    killed = []

    def kill_a_busy_worker():
        with distributed.Client(cluster.scheduler_address) as client:
            wait_until(lambda: min(len(seen[config.name]) for config in configs[:2]) > 2)
            pids = client.run(os.getpid)
            busy = [worker for worker, keys in client.processing().items() if keys]
            os.kill(pids[busy[0]], signal.SIGKILL)
            killed.append(busy[0])

    thread = threading.Thread(target=kill_a_busy_worker)
    thread.start()
    workforce = workforce_of(1, cluster.scheduler_address)
    make_runs(results, configs, None, quiet(), workforce=workforce)
    thread.join()
    assert killed
    for steps in seen.values():
        assert steps == sorted(set(steps)), "a validation was repeated"
        assert steps[-1] == SETTINGS["steps"]
    alone = results_in(tmp_path / "alone", city)
    make_runs(alone, configs, None, quiet())
    pd.testing.assert_frame_equal(scores_of(results), scores_of(alone))


class ElsewhereExecutor(ThreadPoolExecutor):
    """Run in this process, but with another results folder, as on a machine that shares no disk."""

    def __init__(self, other):
        super().__init__(1)
        self.other = other

    def submit(self, function, city, directory, *arguments):
        return super().submit(function, city, self.other, *arguments)


@pytest.mark.parametrize("there", ["nothing", "an older folder"])
def test_without_a_shared_disk_everything_is_returned(results, city, there, tmp_path):
    (config,) = configs_of(results, "local")
    other = tmp_path / "other"
    if there == "an older folder":
        shutil.copytree(results.directory, other)

    @contextmanager
    def workforce(runs):
        with ElsewhereExecutor(other) as executor:
            yield Workers(executor, lambda event: None, list, lambda city: city, (), "")

    make_runs(results, [config], None, quiet(), workforce=workforce)
    assert (results.run_directory(config) / FILE_NAME).is_file()
    assert load_network(results.run_directory(config), city).steps == SETTINGS["steps"]
    assert scores_of(results).loc[(config.network.name, "local"), "steps"] == SETTINGS["steps"]
    assert not (other / "runs").exists()


def test_a_lost_scheduler_is_an_error_and_the_run_resumes(results, city, monkeypatch):
    (config,) = configs_of(results, "local")
    endless = replace(config, steps=10**9, patience=10**9)
    one_worker = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**one_worker, processes=True) as first:

        def close():
            try:
                wait_until(lambda: [*results.directory.rglob(FILE_NAME)])
            finally:
                first.close()

        thread = threading.Thread(target=close)
        thread.start()
        workforce = workforce_of(1, first.scheduler_address)
        with pytest.raises(WorkersLostError, match="the same command resumes the work"):
            make_runs(results, [endless], None, quiet(), workforce=workforce)
        thread.join()
    kept = load_network(results.run_directory(endless), city).steps
    steps = []

    def interrupt(self, config, info):
        steps.append(info.step)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunDisplay, "on_step", interrupt)
    with distributed.LocalCluster(**one_worker, processes=True) as second:
        workforce = workforce_of(1, second.scheduler_address)
        with pytest.raises(KeyboardInterrupt):
            make_runs(results, [endless], None, quiet(), workforce=workforce)
    assert steps[0] > kept


def test_an_error_stops_the_other_runs(cluster, results):
    (config,) = configs_of(results, "none")
    endless = replace(config, seed=1, steps=10**9, patience=10**9)
    results.run_directory(config).mkdir(parents=True)
    (results.run_directory(config) / FILE_NAME).write_text("damaged")
    workforce = workforce_of(1, cluster.scheduler_address)
    with pytest.raises(CheckpointError, match="is not a checkpoint of this version"):
        make_runs(results, [endless, config], None, quiet(), workforce=workforce)
    with distributed.Client(cluster.scheduler_address) as client:
        wait_until(lambda: not any(client.run(_executing).values()))


def test_a_run_that_diverges_does_not_stop_the_others(cluster, results):
    (config,) = configs_of(results, "none")
    failing = replace(config, seed=1, learning_rate=1e30)
    workforce = workforce_of(1, cluster.scheduler_address)
    with pytest.raises(FloatingPointError, match="lower learning_rate, or check the readings"):
        make_runs(results, [failing, config], None, quiet(), workforce=workforce)
    assert results.is_finished(config)
    assert not results.is_finished(failing)


def _executing(dask_worker):
    return len(dask_worker.state.executing) + len(dask_worker.state.long_running)


def test_the_command(cluster, city, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(PRESETS, "quick", SETTINGS | {"steps": 4})
    city.save(tmp_path / "city")
    out = tmp_path / "out"
    choices = "--backbones cnn --designs published --norms none --protocols masked --seeds 1"
    options = ["--data", str(tmp_path / "city"), "--out", str(out), "--preset", "quick"]
    command = ["compare", *options, *choices.split(), "--baselines", "idw"]
    assert main([*command, "--scheduler", cluster.scheduler_address]) == 0, capsys.readouterr().err
    assert Results.open(out).runs()["steps"].to_list() == [4, 0]


def test_an_unreachable_scheduler(monkeypatch):
    monkeypatch.setattr(dask_cluster, "_TIMEOUT", "1s")
    with pytest.raises(ConfigError, match="no scheduler of Dask can be reached"):
        workforce_of(1, "tcp://127.0.0.1:1")


def test_another_version_on_the_workers(cluster, monkeypatch):
    installed = tritonbn.__version__
    monkeypatch.setattr("tritonbn.__version__", "9.9")
    message = rf"of the worker tcp.* is {re.escape(installed)}, but here it is 9\.9"
    with pytest.raises(ConfigError, match=message):
        workforce_of(1, cluster.scheduler_address)
