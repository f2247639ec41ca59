"""Tensors that go together from the operator to the kernels."""

from typing import NamedTuple

from torch import Tensor


class Statistics(NamedTuple):
    """Mean and variance (C, S) and counts (S,); without counts if they were given."""

    mean: Tensor
    var: Tensor
    counts: Tensor | None


class Affine(NamedTuple):
    """What follows the statistics; weight and bias have shape (C, S)."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float
    activation: str | None


class Running(NamedTuple):
    """Running statistics (C, S), moved by `momentum`, or by the tensor `share` in its place."""

    mean: Tensor
    var: Tensor
    share: Tensor | None
    momentum: float


NO_RUNNING = (None, None, None, 0.0)
