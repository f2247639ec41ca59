"""What is timed: a forward pass, a training step and inference of a layer on rotated inputs."""

from collections.abc import Callable
from functools import partial
from statistics import median, quantiles

import torch
from torch import Tensor, nn

from tritonbn.bench.cases import Input

PASSES = ("forward", "step", "inference")
TRAFFIC = {"forward": 2, "step": 5, "inference": 2}
"""Reads and writes of a tensor of the size of x that a pass needs at least."""


class Buffers:
    """Inputs of a kind, and the passes over them.

    Parameters
    ----------
    case : Input
    device : torch.device
    calls : int, default 1
        The number of inputs.
    """

    def __init__(self, case: Input, device: torch.device, calls: int = 1) -> None:
        generator = torch.Generator(device).manual_seed(0)

        def make() -> Tensor:
            x = torch.randn(case.shape, device=device, generator=generator).to(case.dtype)
            return x.contiguous(memory_format=case.memory_format)

        self.calls = calls
        self.xs, self.dys = ([make() for _ in range(calls)] for _ in range(2))
        for x in self.xs:
            x.requires_grad_()

    def runs(self, layer: nn.Module) -> dict[str, Callable[[int], object]]:
        """Return the passes of `PASSES`, which take the number of an input."""
        return {
            "forward": partial(self.forward, layer),
            "step": partial(self.step, layer),
            "inference": partial(self.inference, layer),
        }

    def forward(self, layer: nn.Module, number: int) -> Tensor:
        """Normalize an input in training."""
        y: Tensor = layer(self.xs[number])
        return y

    def gradients(self, layer: nn.Module, number: int, y: Tensor) -> tuple[Tensor, ...]:
        """Compute all gradients."""
        leaves = (self.xs[number], *layer.parameters())
        return torch.autograd.grad(y, leaves, self.dys[number])

    def step(self, layer: nn.Module, number: int) -> tuple[Tensor, ...]:
        """Normalize an input, and compute all gradients."""
        y = self.forward(layer, number)
        return y, *self.gradients(layer, number, y)

    @torch.no_grad()
    def inference(self, layer: nn.Module, number: int) -> Tensor:
        """Normalize an input with the running statistics; the layer must be in evaluation."""
        y: Tensor = layer(self.xs[number])
        return y


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Return median, quartiles, minimum and maximum in microseconds.

    Examples
    --------
    >>> from tritonbn.bench.passes import summary
    >>> summary([1.0, 2.0, 3.0])["median_us"]
    2000.0
    """
    first, third = (milliseconds[0],) * 2
    if len(milliseconds) > 1:
        first, _, third = quantiles(milliseconds, n=4, method="inclusive")
    values = {
        "median_us": median(milliseconds),
        "quartile_1_us": first,
        "quartile_3_us": third,
        "min_us": min(milliseconds),
        "max_us": max(milliseconds),
    }
    return {name: round(1e3 * value, 2) for name, value in values.items()}


def error_of(error: Exception) -> str:
    """Return the kind and the beginning of the message of an error."""
    return f"{type(error).__name__}: {error}"[:300]
