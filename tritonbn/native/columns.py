"""Stage 1: reduce the rows to a few numbers per column."""

from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tritonbn.native.arithmetic import Array, arithmetic_on
from tritonbn.native.layout import tiles
from tritonbn.tensors import compute_dtype, wide_dtype

_TILE_ROWS = 512  # longer float32 sums accumulate too much rounding error


class Columns(NamedTuple):
    """Number of values, mean and variance of each column, as arrays.

    Without a mask the number is the same for all columns, and an int.
    """

    number: int | Array
    mean: Array
    var: Array

    def merge(self, other: "Columns") -> "Columns":
        """Return the statistics of both together.

        The variance of a union is the mean of the parts' variances, plus that of the squared
        distances of their means from the common mean (Chan, Golub, LeVeque, "Updating formulae and
        a pairwise algorithm for computing sample variances", 1979).
        """
        count = self.number + other.number
        share = other.number / (count + (count == 0))
        distance = other.mean - self.mean
        mean = self.mean + distance * share
        var = self.var + share * (other.var - self.var + distance * distance * (1 - share))
        return Columns(count, mean, var)


def statistics(
    rows: Tensor, mask_rows: Tensor | None, memory: Tensor | None
) -> tuple[Columns, Array]:
    """Return the statistics of ``rows - pivot``, and the pivot, a value of each column.

    This difference avoids cancellation if the mean is large compared with the standard deviation.
    """
    of = arithmetic_on(rows.device).of
    pivot = _first_counted(rows, mask_rows).to(compute_dtype(rows))
    parts = []
    for tile, values in tiles(rows, memory, _TILE_ROWS):
        torch.sub(rows[tile], pivot, out=values)
        if mask_rows is None:
            mean, var = _moments(values)
            parts.append(Columns(len(values), of(mean), of(var)))
        else:
            parts.append(Columns(*(of(t) for t in _masked(values, mask_rows[tile]))))
    return reduce(Columns.merge, parts), of(pivot)


def gradient_sums(
    dy_rows: Tensor, rows: Tensor, mask_rows: Tensor | None, center: Tensor, memory: Tensor
) -> tuple[Array, Array]:
    """Return the sums of dy and of ``dy * (x - center)`` of each column.

    Values that the mask excludes and that are not finite are skipped.
    """
    quick = rows.device.type == "cpu" and rows.dtype == memory.dtype and mask_rows is None
    parts = []
    for tile, scratch in tiles(rows, memory, _TILE_ROWS):
        values, gradient = rows[tile], dy_rows[tile]
        if quick:
            parts.append(_batch_norm_sums(gradient, values, center))
            continue
        torch.sub(values, center, out=scratch)
        if mask_rows is not None:
            lost = ~(mask_rows[tile] | values.isfinite())
            scratch.masked_fill_(lost, 0.0)
            gradient = gradient.masked_fill(lost, 0.0)
        total = gradient.sum(0, dtype=scratch.dtype)
        parts.append((total, scratch.mul_(gradient).sum(0)))
    arithmetic, wide = arithmetic_on(rows.device), wide_dtype(rows)

    def add(one: Array, other: Array) -> Array:
        return arithmetic.cast(one, wide) + other

    sum_dy, sum_dy_x = (reduce(add, map(arithmetic.of, sums)) for sums in zip(*parts, strict=True))
    return sum_dy, sum_dy_x


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each column."""
    if values.device.type == "cpu":  # var_mean takes ten times as long there
        mean, var = torch.batch_norm_update_stats(values.flatten(1), None, None, 0.0)
        return mean.view(values.shape[1:]), var.view(values.shape[1:])
    var, mean = torch.var_mean(values, 0, correction=0)
    return mean, var


def _masked(values: Tensor, mask_rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return number, mean and variance of each column."""
    uncounted = ~mask_rows
    count = mask_rows.sum(0, dtype=values.dtype)
    at_least_1 = count.clamp(min=1)
    mean = values.masked_fill_(uncounted, 0.0).sum(0) / at_least_1
    var = values.sub_(mean).masked_fill_(uncounted, 0.0).square_().sum(0) / at_least_1
    return count, mean, var


def _batch_norm_sums(dy_rows: Tensor, rows: Tensor, center: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums as gradients of bias and weight of a batch norm, whose rstd is 1."""
    mean, rstd = center.flatten(), torch.from_numpy(np.ones_like(center.flatten().numpy()))
    parameters = (None, None, None, mean, rstd, True, 0.0)
    _, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
        dy_rows.flatten(1), rows.flatten(1), *parameters, [False, True, True]
    )
    return dbias.view_as(center), dweight.view_as(center)


def _first_counted(rows: Tensor, mask_rows: Tensor | None) -> Tensor:
    """Return the first value of each column that the mask includes, or 0 if there is none."""
    if mask_rows is None:
        return rows[0]
    first = mask_rows.to(torch.uint8).argmax(0, keepdim=True).expand(1, *rows.shape[1:])
    return rows.gather(0, first)[0].masked_fill(~mask_rows.any(0), 0.0)
