"""What is measured: every pass of every layer, whatever fails beside it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from tritonbn.bench import clock, growth, networks
from tritonbn.bench.cases import BFLOAT16, CHANNELS_LAST, CONTIGUOUS, FLOAT32, Input
from tritonbn.bench.measure import measure
from tritonbn.bench.passes import Buffers, summary
from tritonbn.bench.peers import Peer, peers

CPU = torch.device("cpu")
SMALL = Input((4, 3, 8, 8), FLOAT32, CONTIGUOUS)


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError("it is broken")


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.calls = []

    def forward(self, x):
        self.calls.append((self.training, torch.is_grad_enabled()))
        return x * self.weight


def test_every_layer_gets_the_times_of_every_pass():
    compared = [peer for name in ("single", "per cell") for peer in peers(SMALL, name, CPU)]
    rows = measure(SMALL, compared, CPU)
    assert [(row["segments"], row["layer"]) for row in rows] == [
        (peer.segments, peer.name) for peer in compared
    ]
    for row in rows:
        assert (row["shape"], row["dtype"], row["memory_format"]) == (
            [4, 3, 8, 8],
            "float32",
            "contiguous",
        )
        assert 0 < row["forward"]["median_us"] < row["step"]["median_us"]
        assert row["inference"]["min_us"] > 0


def test_a_layer_that_fails_does_not_end_the_measurement():
    def cannot_be_made():
        raise ValueError("no such layer")

    compared = [
        Peer("single", "cannot be made", cannot_be_made),
        Peer("single", "cannot run", Broken),
        Peer("single", "runs", Counting),
    ]
    made, run, good = measure(SMALL, compared, CPU)
    assert made["error"] == "ValueError: no such layer"
    assert run["error"] == "RuntimeError: it is broken"
    assert "step" not in run
    assert good["step"]["median_us"] > 0


def test_rounds_alternate_and_inference_is_in_evaluation():
    layers = Counting(), Counting()
    compared = [Peer("single", str(n), lambda layer=layer: layer) for n, layer in enumerate(layers)]
    clock.measure_by_clock(SMALL, compared, CPU, ("step", "inference"), rounds=3)
    assert layers[0].calls == layers[1].calls == [(True, True), (False, False)] * 5


def test_a_slow_layer_is_run_once_and_not_in_evaluation():
    layer = Counting()
    (row,) = measure(SMALL, [Peer("single", "slow", lambda: layer, slow=True)], CPU)
    assert layer.calls == [(True, True)]
    assert row["step"]["min_us"] == row["step"]["max_us"] > 0
    assert "inference" not in row


def test_buffers_have_the_kind_of_the_input():
    buffers = Buffers(Input((2, 3, 4, 5), BFLOAT16, CHANNELS_LAST), CPU, calls=2)
    assert len(buffers.xs) == len(buffers.dys) == 2
    for x in (*buffers.xs, *buffers.dys):
        assert (x.shape, x.dtype) == ((2, 3, 4, 5), BFLOAT16)
        assert x.is_contiguous(memory_format=CHANNELS_LAST)
    assert not torch.equal(buffers.xs[0], buffers.xs[1])


def test_a_step_has_all_gradients():
    layer = nn.BatchNorm2d(3)
    buffers = Buffers(SMALL, CPU)
    _, dx, dweight, dbias = buffers.step(layer, 0)
    wanted = torch.autograd.grad(
        layer(buffers.xs[0]), (buffers.xs[0], layer.weight, layer.bias), buffers.dys[0]
    )
    torch.testing.assert_close((dx, dweight, dbias), wanted)


def test_the_summary_is_in_microseconds():
    assert summary([4.0, 1.0, 2.0, 3.0, 5.0]) == {
        "median_us": 3000.0,
        "quartile_1_us": 2000.0,
        "quartile_3_us": 4000.0,
        "min_us": 1000.0,
        "max_us": 5000.0,
    }
    assert set(summary([0.25]).values()) == {250.0}


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5])
def test_the_exponent_is_that_of_the_largest_values(power):
    points = [(10.0**k, 7 * 10.0 ** (k * power)) for k in range(1, 4)]
    overhead = [(1.0, 1e9)]
    assert growth.exponent(overhead + points) == pytest.approx(power, abs=1e-9)


def test_series_of_growth_vary_one_size():
    sizes = {"batch": 0, "channels": 1}
    series = {}
    for point in growth.points():
        series.setdefault(point.vary, []).append(point)
        batch, channels, height, width = point.case.shape
        value = {"batch": batch, "channels": channels, "cells": height * width}.get(point.vary)
        assert value in (None, point.value)
    assert {*series} == {*sizes, "cells", "segments"}
    assert series["segments"][-1].value == 100_000
    for points in series.values():
        assert [point.value for point in points] == sorted({point.value for point in points})


def test_a_point_compares_with_the_global_layer():
    point = growth.Point("batch", 4, Input((4, 2, 8, 8), FLOAT32, CONTIGUOUS), "32 nearest")
    rows = growth.measure_point(point, CPU)
    assert [row["layer"] for row in rows] == ["nn.BatchNorm2d", "LocalBN", "one-hot matmul"]
    assert all((row["vary"], row["value"]) == ("batch", 4) for row in rows)
    assert all("forward" not in row and row["step"]["median_us"] > 0 for row in rows)


def test_a_network_is_measured():
    row = networks.measure_network(networks.Network("cnn", "convolution", "local"), CPU, batch=2)
    assert (row["backbone"], row["head"], row["norm"]) == ("cnn", "convolution", "local")
    assert row["samples_per_s"] == pytest.approx(2e6 / row["step_us"], rel=0.01, abs=1)


def test_an_error_of_a_network_is_recorded(monkeypatch):
    monkeypatch.setattr(networks, "build_model", lambda *_, **__: Broken())
    row = networks.measure_network(networks.Network("cnn", "dense", "none"), CPU, batch=1)
    assert row["error"].startswith("RuntimeError: it is broken")


PROGRAM = """
import sys, time
from tritonbn.bench.contention import busy_core

with busy_core() as child:
    print(child, flush=True)
    if sys.argv[1] == "interrupt":
        raise KeyboardInterrupt
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_the_busy_process_ends_with_the_benchmark(end, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    parent = subprocess.Popen(
        [sys.executable, str(program), end],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    child = int(parent.stdout.readline())
    if end == "kill":
        parent.kill()
    parent.wait(timeout=60)
    for _ in range(600):
        if not is_running(child):
            break
        time.sleep(0.1)
    assert not is_running(child)


def is_running(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
