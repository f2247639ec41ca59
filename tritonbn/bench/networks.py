"""The training step of each network with each normalization."""

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from tritonbn.bench.clock import clock_times
from tritonbn.bench.passes import error_of
from tritonbn.models import build_model
from tritonbn.segments import Segments

_GRID = (32, 32)
_ROUNDS = 5


class Network(NamedTuple):
    """A network of the published experiment."""

    backbone: Literal["convlstm", "cnn"]
    head: Literal["convolution", "dense"]
    norm: Literal["none", "global", "local"]


def networks() -> Iterator[Network]:
    """List the networks."""
    backbones: tuple[Literal["convlstm", "cnn"], ...] = ("convlstm", "cnn")
    heads: tuple[Literal["convolution", "dense"], ...] = ("convolution", "dense")
    norms: tuple[Literal["none", "global", "local"], ...] = ("none", "global", "local")
    for backbone in backbones:
        for head in heads:
            yield from (Network(backbone, head, norm) for norm in norms)


def measure_network(network: Network, device: torch.device, batch: int = 128) -> dict[str, Any]:
    """Time the forward and backward pass of a network with its loss.

    Parameters
    ----------
    network : Network
    device : torch.device
    batch : int, default 128
        Samples in a step.

    Returns
    -------
    dict
        Its name, the time of a step, on a GPU also that to issue it, and the samples per second by
        the longer of both; or an "error".
    """
    row: dict[str, Any] = network._asdict()
    try:
        return row | _times(network, device, batch)
    except Exception as error:  # the others are still measured
        return row | {"error": error_of(error)}


def _times(network: Network, device: torch.device, batch: int) -> dict[str, Any]:
    backbone, head, norm = network
    model = build_model(backbone, norm, Segments.per_cell(_GRID), head=head).to(device)
    x = torch.rand(batch, 1, 1, *_GRID, device=device)
    target = torch.rand(batch, *_GRID, device=device)

    def step(number: int) -> object:
        loss = nn.functional.mse_loss(model(x).view(target.shape), target)
        # an LSTM does not use its recurrent weights in the first step of a sequence
        return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)

    times = {}
    if device.type == "cuda":
        from tritonbn.bench.cuda_graphs import Graph, host_time, interleaved

        milliseconds = median(interleaved([Graph(step, 4)])[0])
        host = host_time(step)
        times["host_step_us"] = round(1e3 * host, 1)
    else:
        milliseconds = host = median(clock_times(partial(step, 0), device, _ROUNDS))
    return {
        "step_us": round(1e3 * milliseconds, 1),
        **times,
        "samples_per_s": round(1e3 * batch / max(milliseconds, host)),
    }
