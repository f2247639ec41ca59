"""The coefficients with which the rows of each column are normalized."""

from torch import Tensor

from tritonbn.native.arithmetic import Array
from tritonbn.native.layout import Layout
from tritonbn.tensors import Affine

_SMALL_MEAN = 4.0  # in standard deviations


def coefficients_of(
    layout: Layout, mean: Tensor, var: Tensor, affine: Affine, present: Tensor | None
) -> list[Tensor]:
    """Return scale, shift and, if it is needed, the center of each column."""
    arithmetic = layout.arithmetic
    with arithmetic.silent():
        _, rstd, scale = center_and_scale(layout, mean, var, affine)
        center, low = center_of(layout, mean, rstd)
        shift = low * scale
        shift = -shift if affine.bias is None else arithmetic.of(affine.bias) - shift
        there = None if present is None else arithmetic.of(present)
        # with these neutral values x passes unchanged: x * 1 + -0.0 keeps both 0.0 and -0.0
        values = layout.spread(scale, shift, *center, present=there, neutral=(1.0, -0.0, 0.0))
    return [arithmetic.tensor(value) for value in values]


def center_and_scale(
    layout: Layout, mean: Tensor, var: Tensor, affine: Affine
) -> tuple[Array, Array, Array]:
    """Return the rounded mean, rstd, and rstd times weight (C, S)."""
    arithmetic = layout.arithmetic
    rstd = arithmetic.rsqrt(arithmetic.of(var) + affine.eps)
    scale = rstd if affine.weight is None else rstd * arithmetic.of(affine.weight)
    return arithmetic.cast(arithmetic.of(mean), layout.compute), rstd, scale


def center_of(layout: Layout, mean: Tensor, rstd: Array) -> tuple[tuple[Array, ...], Array]:
    """Return what is subtracted from x before it is multiplied, and the rest of the mean (C, S).

    The first is the rounded mean, or nothing if the mean is small: then ``x * scale - mean *
    scale`` is as exact as ``(x - mean) * scale``, and takes one operation less. A GPU is not asked
    whether it is, because the answer would take a synchronization.
    """
    whole = layout.arithmetic.of(mean)
    if mean.device.type == "cpu" and float(abs(whole * rstd).max()) <= _SMALL_MEAN:
        return (), whole
    center = layout.arithmetic.cast(whole, layout.compute)
    return (center,), whole - center
