from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tritonbn.experiment.networks.checkpoint import FILE_NAME, Checkpoint, CheckpointError, identity
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.scaling import Scaler


@pytest.fixture
def checkpoint(city):
    return Checkpoint(
        config=RunConfig("cnn", "none", "paper", steps=60, patience=2),
        city=identity(city),
        scaler=Scaler(0.1, 99.9),
        weights={"head.weight": torch.rand(1, 4, 3, 3).to(memory_format=torch.channels_last)},
        best={"head.weight": torch.rand(1, 4, 3, 3), "norm.count": torch.tensor(3)},
        adam={"0.step": torch.tensor(20.0)},
        random={"state": {"state": 2**127 + 1}},
        history=[{"step": 20, "loss": 0.1, "stopping_sprmse": 7.0}],
        seconds=1.5,
    )


def test_read_gives_what_was_written(checkpoint, city, tmp_path):
    assert Checkpoint.read(tmp_path, city) is None
    checkpoint.write(tmp_path)
    read = Checkpoint.read(tmp_path, city)
    for name in ("config", "city", "scaler", "random", "history", "seconds"):
        assert getattr(read, name) == getattr(checkpoint, name)
    for name in ("weights", "best", "adam"):
        tensors, expected = getattr(read, name), getattr(checkpoint, name)
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[key], expected[key]) for key in expected)


def test_a_checkpoint_that_knows_less_of_its_city_is_compared_by_that(checkpoint, city, tmp_path):
    facts = {name: checkpoint.city[name] for name in ("stations", "cells", "grid", "readings")}
    replace(checkpoint, city=facts).write(tmp_path)
    assert Checkpoint.read(tmp_path, city).city == facts
    with pytest.raises(CheckpointError, match="a city whose readings differ"):
        Checkpoint.read(tmp_path, replace(city, values=city.values + 1))


@pytest.mark.parametrize(
    ("scores", "finished"),
    [([], False), ([7], False), ([7, 8], False), ([7, 8, 7], True), ([9, 8, 7], True)],
)
def test_finished_after_all_steps_or_without_improvement(checkpoint, scores, finished):
    checkpoint.history[:] = [
        {"step": 20 * k, "loss": 0.1, "stopping_sprmse": score}
        for k, score in enumerate(scores, start=1)
    ]
    assert checkpoint.finished is finished


@pytest.mark.parametrize("damage", ["truncated", "foreign", "text"])
def test_a_file_that_is_no_checkpoint_is_named(checkpoint, city, tmp_path, damage):
    path = tmp_path / FILE_NAME
    if damage == "truncated":
        checkpoint.write(tmp_path)
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "foreign":
        save_file({"weight": torch.zeros(3)}, path)
    else:
        path.write_text("not a checkpoint")
    message = f"{FILE_NAME} is not a checkpoint of this version.*; delete the folder of the run and"
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.read(tmp_path, city)


def test_a_city_is_the_same_whatever_its_nan_look_like(city):
    values = city.values.copy()
    values.view(np.uint32)[~city.observed] |= np.uint32(1 << 31)  # as 0 / 0 makes them
    assert np.signbit(values[~city.observed]).all()
    assert identity(replace(city, values=values)) == identity(city)
