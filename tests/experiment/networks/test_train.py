import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from every_network import ALLOWED, NETWORKS, config_of
from safetensors.torch import load_file

from data_prep.fill import distances_km, idw
from tritonbn.experiment.baselines import evaluate_baseline
from tritonbn.experiment.networks.checkpoint import FILE_NAME, CheckpointError
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.network import Network
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.predict import estimate, evaluate
from tritonbn.experiment.networks.train import StepInfo, train_network
from tritonbn.experiment.networks.trained import load_network
from tritonbn.experiment.task.geography import cell_distances_km
from tritonbn.experiment.task.parts import split
from tritonbn.experiment.task.scores import city_scores, skill, station_scores

SIZES = {"steps": 7, "batch_size": 4, "validate_every": 2, "validation_times": 5}
SMALL = RunConfig("cnn", "local", "paper", **SIZES)
RESIDUAL = Network("cnn", "residual", "convolution")
USUAL = ("none", "global", "local")

KILLED = """
    import os, signal, sys
    from pathlib import Path
    from data_prep.city import CityData
    from tritonbn.experiment.networks.config import RunConfig
    from tritonbn.experiment.networks.train import train_network

    def kill(info):
        if info.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    folder = Path(sys.argv[1])
    train_network(CityData.load(folder / "city"), {config}, folder / "run", on_step=kill)
"""


def same_weights(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


ARMS = [
    *product(NETWORKS, USUAL),
    *product([Network("convlstm"), Network("cnn"), RESIDUAL], [n for n in NORMS if n not in USUAL]),
    (Network("convlstm", head="convolution"), "recurrent"),
    (replace(RESIDUAL, backbone="convlstm"), "recurrent"),
]


@pytest.mark.parametrize(
    ("network", "norm", "protocol"),
    [
        pytest.param(
            *(network, norm, protocol),
            id=f"{protocol}-{network.name}-{norm}",
            marks=[pytest.mark.slow] if protocol == "unseen" else [],
        )
        for protocol in ("paper", "masked", "unseen")
        for network, norm in ARMS
        if (network, norm, protocol) in ALLOWED
    ],
)
def test_every_arm_trains(city, tmp_path, network, norm, protocol):
    config = config_of(network, norm, protocol, **SIZES)
    infos: list[StepInfo] = []
    run = train_network(city, config, tmp_path, on_step=infos.append)
    assert [info.step for info in infos] == [1, 2, 3, 4, 5, 6, 7]
    validated = [(info.step, info.stopping_sprmse) for info in infos if info.stopping_sprmse]
    assert [step for step, _ in validated] == [2, 4, 6, 7]
    residual = network.design == "residual" and not {"idw", "correction"} & {*network.without}
    history = run.history[1:] if residual else run.history
    assert validated == [(entry["step"], entry["stopping_sprmse"]) for entry in history]
    losses = [info.loss for info in infos]
    means = [np.mean(losses[a:b]) for a, b in ((0, 2), (2, 4), (4, 6), (6, 7))]
    assert [entry["loss"] for entry in history] == pytest.approx(means)
    assert (run.config, run.steps) == (config, 7)


def test_the_best_validation_is_kept(city, tmp_path):
    run = train_network(city, replace(SMALL, norm="global", steps=12, learning_rate=0.1), tmp_path)
    scores = [entry["stopping_sprmse"] for entry in run.history]
    assert scores.index(min(scores)) not in (0, len(scores) - 1), "the test needs a best in between"
    encoding = run.encoding(city)
    table = estimate(run.model, encoding, "validation", encoding.fold.learned, 5)
    best = city_scores(table, station_scores(table, city), min_readings=1)["sprmse"]
    assert best == min(scores)


def test_a_residual_network_that_learns_nothing_of_use_stays_idw(city, tmp_path):
    config = config_of(RESIDUAL, "local", "unseen", **SIZES, learning_rate=1.0)
    run = train_network(city, config, tmp_path)
    scores = [entry["stopping_sprmse"] for entry in run.history]
    assert scores.index(min(scores)) == 0, "the test needs a training that does harm"
    fold = config.fold_of(city)
    distances = distances_km(city.stations["latitude"], city.stations["longitude"])
    for row in evaluate(run, city).itertuples():
        time = np.flatnonzero(city.times == row.time)
        station = city.stations["station"].to_list().index(row.station)
        expected = idw(city.values[time], distances, visible=~fold.held_out[None])[0, station]
        assert row.estimate == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("backbone", ["cnn", "convlstm"])
def test_what_is_learned_of_stations_is_extended_to_the_cells_without_one(city, tmp_path, backbone):
    network = replace(RESIDUAL, backbone=backbone)
    run = train_network(city, config_of(network, "none", "masked", **SIZES), tmp_path)
    maps = run.model.head.context.maps.flatten(1).detach()
    kept = load_file(tmp_path / FILE_NAME)
    (name,) = [name for name in kept if name.startswith("best") and name.endswith("maps")]
    at_stations = kept[name].flatten(1)[:, city.cells.tolist()]
    assert torch.equal(maps[:, city.cells.tolist()], at_stations)
    weights = cell_distances_km(city) ** -2.0  # (stations, cells)
    others = np.setdiff1d(np.arange(30), city.cells)
    expected = at_stations.double().numpy() @ (weights / weights.sum(0))[:, others]
    np.testing.assert_allclose(maps[:, others], expected, atol=1e-6)


def test_masked_training_learns_to_interpolate(make_city, tmp_path):
    city = make_city(stations=9, grid=(3, 3), missing=0.0)
    values = city.values.copy()
    values[:] = values.mean(axis=1, keepdims=True)  # all stations read the same
    city = replace(city, values=values)
    config = RunConfig("cnn", "none", "masked", steps=200, batch_size=32, learning_rate=1e-2)
    run = train_network(city, config, tmp_path)
    best = min(entry["stopping_sprmse"] for entry in run.history)
    assert best < 0.25 * values[split(city)["validation"]].std()


def test_residual_networks_learn_to_interpolate_better_than_idw(make_city, tmp_path):
    """Each station is IDW of the others and an offset of its own, which IDW does not know."""
    city = make_city(stations=9, grid=(3, 3), missing=0.0)
    level = city.values.mean(axis=1, keepdims=True)
    values = level + np.linspace(-8, 8, 9, dtype=np.float32)[[4, 0, 8, 2, 6, 1, 7, 3, 5]]
    city = replace(city, values=values)
    sizes = {"steps": 150, "batch_size": 32, "learning_rate": 2e-3, "validate_every": 50}
    run = train_network(city, config_of(RESIDUAL, "none", "masked", **sizes), tmp_path)
    of_idw = evaluate_baseline("idw", city, "masked").estimates["test"]
    assert skill(evaluate(run, city), of_idw) > 0.8


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        pytest.param(replace(SMALL, protocol="masked"), marks=pytest.mark.slow),
        pytest.param(config_of(RESIDUAL, "local", "masked", **SIZES), marks=pytest.mark.slow),
    ],
    ids=lambda config: config.name,
)
def test_killed_run_continues_and_ends_with_the_same_numbers(city, tmp_path, config):
    whole = train_network(city, config, tmp_path / "whole")
    city.save(tmp_path / "city")
    script = textwrap.dedent(KILLED).format(config=config)
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # they decide the last digits
    command = [sys.executable, "-c", script, tmp_path]
    killed = subprocess.run(command, env=os.environ | threads, check=False)
    assert killed.returncode == -signal.SIGKILL
    steps: list[int] = []
    run = train_network(
        city, config, tmp_path / "run", on_step=lambda info: steps.append(info.step)
    )
    assert steps == [5, 6, 7]  # from the validation before
    assert run.history == whole.history
    assert same_weights(run.model.state_dict(), whole.model.state_dict())
    left, expected = (load_file(tmp_path / name / FILE_NAME) for name in ("run", "whole"))
    assert same_weights(left, expected)


def test_seed_decides_the_numbers_and_leaves_the_caller_s_alone(city, tmp_path):
    before = torch.get_rng_state()
    runs = [
        train_network(city, replace(SMALL, seed=seed), tmp_path / name)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    a, b, c = (run.model.state_dict() for run in runs)
    assert same_weights(a, b)
    assert not torch.equal(a["head.convolution.weight"], c["head.convolution.weight"])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("protocol", ["paper", "masked"])
def test_weights_know_nothing_of_validation_and_test(city, tmp_path, protocol):
    config = replace(SMALL, protocol=protocol)
    values = city.values.copy()
    values[split(city)["train"].stop :] *= -100
    states = []
    for name, readings in (("true", city.values), ("changed", values)):
        train_network(replace(city, values=readings), config, tmp_path / name)
        tensors = load_file(tmp_path / name / FILE_NAME)
        states.append({key: tensors[key] for key in tensors if not key.startswith("best/")})
    assert same_weights(*states)


def test_finished_run_returns_at_once(city, tmp_path):
    first = train_network(city, SMALL, tmp_path)
    written = (tmp_path / FILE_NAME).stat().st_mtime_ns
    again = train_network(city, SMALL, tmp_path, on_step=lambda info: pytest.fail(f"took {info}"))
    loaded = load_network(tmp_path, city)
    assert (tmp_path / FILE_NAME).stat().st_mtime_ns == written
    for run in (again, loaded):
        assert same_weights(run.model.state_dict(), first.model.state_dict())
        assert (run.config, run.scaler, run.history) == (first.config, first.scaler, first.history)
        assert (run.steps, run.seconds) == (first.steps, first.seconds)


def test_stops_after_patience_and_stays_stopped(city, tmp_path):
    config = replace(SMALL, norm="none", steps=40, patience=3, learning_rate=1e-30)
    run = train_network(city, config, tmp_path)
    assert run.steps == 2 + 3 * 2  # the first validation is never beaten
    train_network(city, config, tmp_path, on_step=lambda info: pytest.fail(f"took {info}"))


def test_another_configuration_is_refused(city, tmp_path):
    train_network(city, SMALL, tmp_path)
    with pytest.raises(CheckpointError, match=r"another run: norm is local, not none; seed is 0"):
        train_network(city, replace(SMALL, norm="none", seed=2), tmp_path)


@pytest.mark.parametrize(
    "call", [lambda city, at: train_network(city, SMALL, at), lambda c, at: load_network(at, c)]
)
def test_another_city_is_refused(city, tmp_path, call):
    train_network(city, SMALL, tmp_path)
    renamed = city.stations.assign(station=[f"T{k}" for k in range(6)])
    moved = city.stations.assign(latitude=city.stations["latitude"] + 0.004)
    readings = city.values.copy()
    readings[0, 0] += 1
    for other, what in (
        (replace(city, stations=renamed), "stations"),
        (replace(city, stations=moved), "positions"),
        (replace(city, grid=(6, 6)), "grid"),
        (replace(city, stations=city.stations.assign(cell=range(6))), "cells"),
        (replace(city, values=readings), "readings"),
        (replace(city, interval=np.timedelta64(600, "s")), "step"),
    ):
        with pytest.raises(
            CheckpointError, match=f"a city whose {what} differ from those of Testville"
        ):
            call(other, tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run(city, tmp_path):
    with pytest.raises(FloatingPointError, match=r"is (nan|inf) at step \d; lower learning_rate"):
        train_network(city, replace(SMALL, norm="none", learning_rate=1e30), tmp_path)


def test_a_folder_without_a_run_is_an_error(city, tmp_path):
    with pytest.raises(CheckpointError, match="holds no trained network"):
        load_network(tmp_path, city)
