"""The order of measurements on a GPU, with a stand-in for CUDA graphs that runs on the CPU."""

import pytest
import torch
from torch import nn

from tritonbn.bench import cuda_graphs
from tritonbn.bench.cases import BFLOAT16, CONTIGUOUS, FLOAT32, Input
from tritonbn.bench.peers import Peer

SMALL = Input((4, 3, 8, 8), FLOAT32, CONTIGUOUS)
CPU = torch.device("cpu")


@pytest.fixture
def events(monkeypatch):
    """Return the list of captures and replays, by the layer and whether it is in training."""
    seen = []

    class Stand:
        def __init__(self, run, calls):
            self.layer = run.args[0]
            seen.append(("capture", self.layer.name, self.layer.training, calls))
            for number in range(calls):
                run(number)

        def replay(self):
            seen.append(("replay", self.layer.name))
            return 0.5

    monkeypatch.setattr(cuda_graphs, "Graph", Stand)
    monkeypatch.setattr(cuda_graphs, "host_time", lambda run: 0.25)
    return seen


class Named(nn.BatchNorm2d):
    def __init__(self, name, fails_in=None):
        super().__init__(3)
        self.name, self.fails_in = name, fails_in

    def forward(self, x):
        if self.fails_in == "inference" and not self.training:
            raise RuntimeError("not in evaluation")
        return super().forward(x)


def test_replays_of_the_layers_alternate(events):
    compared = [Peer("single", name, lambda name=name: Named(name)) for name in "ab"]
    rows = cuda_graphs.measure_on_gpu(SMALL, compared, CPU, ("forward", "step", "inference"))
    captures = [event for event in events if event[0] == "capture"]
    trained = [("capture", name, True, 8) for name in "ab"]
    assert captures == [*trained, *trained, *(("capture", name, False, 8) for name in "ab")]
    first = events.index(("replay", "a"))
    assert events[first : first + 46] == [("replay", "a"), ("replay", "b")] * 23
    for row in rows:
        assert row["calls"] == 8
        assert row["step"]["median_us"] == row["inference"]["median_us"] == 500.0
        assert row["host_step_us"] == 250.0


@pytest.mark.usefixtures("events")
def test_a_layer_that_fails_keeps_what_was_measured_before():
    def cannot_be_made():
        raise ValueError("no such layer")

    compared = [
        Peer("single", "cannot be made", cannot_be_made),
        Peer("single", "fails", lambda: Named("fails", "inference")),
        Peer("single", "good", lambda: Named("good")),
    ]
    rows = cuda_graphs.measure_on_gpu(SMALL, compared, CPU, ("step", "inference"))
    assert [row.get("error") for row in rows] == [
        "ValueError: no such layer",
        "RuntimeError: not in evaluation",
        None,
    ]
    assert ["step" in row for row in rows] == [False, True, True]
    assert ["host_step_us" in row for row in rows] == [False, False, True]


def test_a_slow_layer_is_measured_with_the_clock(events):
    slow = Peer("per cell", "slow", lambda: Named("slow"), slow=True)
    (row,) = cuda_graphs.measure_on_gpu(SMALL, [slow], CPU, ("forward", "step"))
    assert events == []
    assert row["layer"] == "slow"
    assert row["step"]["median_us"] > row["forward"]["median_us"] > 0


@pytest.mark.parametrize(
    ("shape", "dtype", "calls"),
    [
        ((8, 16, 16, 16), FLOAT32, 8),
        ((128, 64, 32, 32), FLOAT32, 7),
        ((128, 64, 32, 32), BFLOAT16, 8),
        ((32, 256, 256, 256), FLOAT32, 1),
    ],
)
def test_large_inputs_together_exceed_the_cache(shape, dtype, calls):
    assert cuda_graphs.calls_of(Input(shape, dtype, CONTIGUOUS)) == calls
