"""Tuning: when it happens, what it keeps, and that it touches nothing."""

import json

import pytest
import torch

from tritonbn import Segments, local_batch_norm
from tritonbn.kernels import tuning
from tritonbn.kernels.configs import Config, suitable_configs
from tritonbn.kernels.problem import Problem

CPU = torch.device("cpu")
PROBLEM = Problem(128, 1, 64, 1024, 32, 40, 0, torch.float32, False)
SINGLE_CELLS = PROBLEM._replace(segments=1024, largest=1)


@pytest.fixture
def events(monkeypatch, tmp_path):
    """Count measurements; the time of the n-th since the last choice is 1 / n."""
    seen = []

    def measure(run):
        seen.append(run.args)
        return 1 / len(seen)

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tuning, "_chosen", {})
    monkeypatch.setattr(tuning, "_can_measure", lambda device: True)
    monkeypatch.setattr(tuning, "_fingerprint", lambda kernel, device: ("some GPU",))
    monkeypatch.setattr(tuning, "Scratch", lambda kind, device: _Scratch())
    monkeypatch.setattr(tuning, "measure", measure)
    return seen


class _Scratch:
    def launch(self, kernel, config):
        raise AssertionError("only measure launches")


@pytest.mark.parametrize("kernel", ["normalize", "one_pass_forward"])
def test_every_configuration_is_measured_once_and_the_fastest_taken(kernel, events):
    configs = suitable_configs(kernel, SINGLE_CELLS)
    assert len(configs) > 1
    assert tuning.choose(kernel, SINGLE_CELLS, CPU) == configs[-1]
    assert events == [(kernel, config) for config in configs]
    assert tuning.choose(kernel, SINGLE_CELLS, CPU) == configs[-1]
    assert len(events) == len(configs)


@pytest.mark.parametrize("kernel", ["normalize", "one_pass_forward"])
def test_a_ragged_last_batch_does_not_tune_again(kernel, events):
    tuning.choose(kernel, SINGLE_CELLS, CPU)
    count = len(events)
    for batch in (127, 100, 65):
        tuning.choose(kernel, SINGLE_CELLS._replace(batch=batch), CPU)
    assert len(events) == count
    tuning.choose(kernel, SINGLE_CELLS._replace(batch=64), CPU)
    assert len(events) > count


@pytest.mark.parametrize(
    "change",
    [{"cells": 1025}, {"channels": 65}, {"dtype": torch.bfloat16}, {"channels_last": True}],
    ids=str,
)
def test_another_kind_of_problem_is_tuned_for_itself(change, events):
    tuning.choose("normalize", PROBLEM, CPU)
    count = len(events)
    tuning.choose("normalize", PROBLEM._replace(**change), CPU)
    assert len(events) > count


def test_the_stages_of_other_segments_share_a_choice(events):
    tuning.choose("normalize", PROBLEM, CPU)
    count = len(events)
    tuning.choose("normalize", SINGLE_CELLS, CPU)
    assert len(events) == count


def test_choices_are_kept_on_disk(events, monkeypatch):
    chosen = tuning.choose("normalize", PROBLEM, CPU)
    count = len(events)
    monkeypatch.setattr(tuning, "_chosen", {})  # as in another process
    assert tuning.choose("normalize", PROBLEM, CPU) == chosen
    assert len(events) == count
    monkeypatch.setattr(tuning, "_chosen", {})
    monkeypatch.setattr(tuning, "_fingerprint", lambda kernel, device: ("another GPU",))
    tuning.choose("normalize", PROBLEM, CPU)
    assert len(events) > count


@pytest.mark.parametrize("text", ["", "[1]", json.dumps([3, 5, 7])])
def test_a_damaged_file_is_made_anew(text, events, monkeypatch, tmp_path):
    chosen = tuning.choose("normalize", PROBLEM, CPU)
    count = len(events)
    (file,) = tmp_path.rglob("config.json")
    file.write_text(text)
    monkeypatch.setattr(tuning, "_chosen", {})
    tuning.choose("normalize", PROBLEM, CPU)
    assert len(events) == 2 * count
    assert Config(*json.loads(file.read_text())) == chosen


def test_default_without_tuning(events, monkeypatch):
    monkeypatch.setenv("TRITONBN_AUTOTUNE", "0")
    assert tuning.choose("normalize", PROBLEM, CPU) == suitable_configs("normalize", PROBLEM)[0]
    assert not events


def test_default_where_nothing_can_be_measured(events, monkeypatch):
    monkeypatch.setattr(tuning, "_can_measure", lambda device: False)
    assert tuning.choose("normalize", PROBLEM, CPU) == suitable_configs("normalize", PROBLEM)[0]
    monkeypatch.setattr(tuning, "_can_measure", lambda device: True)
    tuning.choose("normalize", PROBLEM, CPU)
    assert events


def test_default_where_memory_does_not_suffice(events, monkeypatch):
    def measure(run):
        raise torch.OutOfMemoryError("too large")

    monkeypatch.setattr(tuning, "measure", measure)
    assert tuning.choose("normalize", PROBLEM, CPU) == suitable_configs("normalize", PROBLEM)[0]


def test_configurations_are_pruned_by_the_size_of_the_grid():
    small = PROBLEM._replace(channels=1, cells=100)
    assert all(config.columns <= 128 for config in suitable_configs("normalize", small))
    assert any(config.columns > 128 for config in suitable_configs("normalize", PROBLEM))


@pytest.mark.parametrize("name", ["nearest", "per_cell"])
def test_tuning_touches_neither_results_nor_random_numbers(name, events, monkeypatch, device):
    grid = (16, 16)
    segments = Segments.per_cell(grid) if name == "per_cell" else Segments.nearest([3, 77], grid)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, *grid, generator=generator).to(device)

    def step():
        running = torch.zeros(2, segments.num_segments, device=device)
        running = running, torch.ones_like(running)
        leaf = x.clone().requires_grad_()
        y = local_batch_norm(leaf, segments, *running, training=True, backend="triton")
        y.square().sum().backward()
        return y.detach(), leaf.grad, *running

    monkeypatch.setenv("TRITONBN_AUTOTUNE", "0")
    expected = step()
    monkeypatch.delenv("TRITONBN_AUTOTUNE")
    monkeypatch.undo()
    launched = []

    def measure(run):
        run()
        launched.append(run.args)
        return float(len(launched))  # the first, which is the default, is the fastest

    monkeypatch.setattr(tuning, "_chosen", {})
    monkeypatch.setattr(tuning, "_can_measure", lambda device: True)
    monkeypatch.setattr(tuning._Kept, "__init__", lambda *arguments: None)
    monkeypatch.setattr(tuning._Kept, "load", lambda kept: None)
    monkeypatch.setattr(tuning._Kept, "save", lambda kept, config: None)
    monkeypatch.setattr(tuning, "measure", measure)
    state = torch.get_rng_state()
    tuned = step()
    assert launched
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(tuned, expected, strict=True))
