"""Stage 2: the coefficients of each column, and the gradients of weight and bias."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from tritonbn.native.arithmetic import Array
from tritonbn.native.layout import Layout
from tritonbn.tensors import Affine

_SMALL_MEAN = 4.0  # in standard deviations


class Normalization(NamedTuple):
    """How the columns of x are normalized.

    Attributes
    ----------
    layout : Layout
    mean, var : Tensor, shape (C, S)
    affine : Affine
    present : Tensor of bool, shape (S,), or None
        Which segments are normalized; x is returned unchanged in the others. None means all.
    """

    layout: Layout
    mean: Tensor
    var: Tensor
    affine: Affine
    present: Tensor | None

    def of_x(self) -> list[Tensor]:
        """Return scale, shift and, if it is needed, the center of each column."""
        centered = self._is_centered()

        def of_channels(mean: Array, var: Array, weight: Array | None, bias: Array | None) -> Array:
            scale = scale_of(self._rstd(var), weight)
            center, low = self._center_and_rest(mean, centered)
            shift = low * scale
            shift = -shift if bias is None else bias - shift
            # x passes unchanged with these neutral values: x * 1 + -0.0 keeps both 0.0 and -0.0
            return self._spread(scale, shift, *center, neutral=(1.0, -0.0, 0.0))

        parameters = (self.affine.weight, self.affine.bias)
        return self._columns(self.layout.by_channels(of_channels, self.mean, self.var, *parameters))

    def center(self) -> Tensor:
        """Return the mean of each column in the compute dtype."""
        return self._columns(self.layout.by_channels(self.layout.spread, self.mean))[0]

    def scale(self) -> Tensor:
        """Return what dy is multiplied by in each column if the statistics were given."""

        def of_channels(var: Array, weight: Array | None) -> Array:
            return self._spread(scale_of(self._rstd(var), weight), neutral=(1.0,))

        return self._columns(self.layout.by_channels(of_channels, self.var, self.affine.weight))[0]

    def gradients(self, sum_dy: Array, sum_dy_x: Array) -> list[Tensor]:
        """Return rstd, dweight and dbias (C, S), and the last two again in the compute dtype.

        The sums are those of dy and of ``dy * (x - center)`` in each column.
        """
        arithmetic, compute, there = self.layout.arithmetic, self.layout.compute, self._there

        def of_channels(mean: Array, var: Array, sum_dy: Array, sum_dy_x: Array) -> Array:
            rstd = self._rstd(var)
            _, low = self._center_and_rest(mean, centered=True)
            dbias, dweight = self.layout.merge(sum_dy, sum_dy_x)
            dweight = (dweight - low * dbias) * rstd
            if there is not None:
                dbias, dweight = (arithmetic.where(there, t, 0.0) for t in (dbias, dweight))
            return rstd, dweight, dbias, *(arithmetic.cast(t, compute) for t in (dweight, dbias))

        sums = map(self.layout.channels_first, (sum_dy, sum_dy_x))
        arrays = self.layout.by_channels(of_channels, self.mean, self.var, *sums)
        return [arithmetic.tensor(array) for array in arrays]

    def of_dx(
        self, rstd: Tensor, slope: Tensor, constant: Tensor, count: Tensor | None
    ) -> list[Tensor]:
        """Return scale, slope, shift and, if it is needed, the center of each column.

        The gradient of an included value, ``dy * scale + slope * (x - mean) + constant``, is
        computed as ``dy * scale + slope * (x - center) + shift``. If `count`, the number of values
        per channel (S,), is given, `slope` and `constant` are instead dweight and dbias, from which
        they are computed.
        """
        arithmetic, centered = self.layout.arithmetic, self._is_centered()
        m = None if count is None else arithmetic.at_least_1(arithmetic.of(count))

        def of_channels(
            mean: Array, weight: Array | None, rstd: Array, slope: Array, constant: Array
        ) -> Array:
            scale = scale_of(rstd, weight)
            if m is not None:
                per_value = scale / -m
                slope, constant = per_value * rstd * slope, per_value * constant
            center, low = self._center_and_rest(mean, centered)
            values = (scale, slope, constant - slope * low, *center)
            return self._spread(*values, neutral=(1.0, 0.0, 0.0, 0.0))

        given = (self.mean, self.affine.weight, rstd, slope, constant)
        return self._columns(self.layout.by_channels(of_channels, *given))

    def passing(self) -> Tensor:
        """Return which columns are not normalized; they are the same in all channels."""
        arithmetic = self.layout.arithmetic
        one = arithmetic.constants([1.0], arithmetic.of(self.var))[0]
        ones = arithmetic.expand(one, (1, self.var.shape[1]))
        return self._columns(self._spread(ones, neutral=(0.0,)))[0] == 0

    def _is_centered(self) -> bool:
        """Return whether the mean is subtracted from x before x is multiplied.

        If the mean is small, ``x * scale - mean * scale`` is as exact as ``(x - mean) * scale``,
        and takes one operation less. A GPU is not asked, because this would take a synchronization.
        """
        if self.mean.device.type != "cpu":
            return True
        cast, wide = self.layout.arithmetic.cast, self.layout.wide

        def of_channels(mean: Array, var: Array) -> Array:
            mean, var = cast(mean, wide), cast(var, wide) + self.affine.eps
            return ((mean * mean <= _SMALL_MEAN**2 * var).all(-1),)

        (small,) = self.layout.by_channels(of_channels, self.mean, self.var)
        return not small.all()

    def _rstd(self, var: Array) -> Array:
        arithmetic = self.layout.arithmetic
        return arithmetic.rsqrt(arithmetic.cast(var, self.layout.wide) + self.affine.eps)

    def _center_and_rest(self, mean: Array, centered: bool) -> tuple[tuple[Array, ...], Array]:
        """Return what is subtracted from x before x is multiplied, and the rest of the mean.

        The first is the mean, rounded to the compute dtype, or nothing.
        """
        cast = self.layout.arithmetic.cast
        mean = cast(mean, self.layout.wide)
        if not centered:
            return (), mean
        center = cast(mean, self.layout.compute)
        return (center,), mean - center

    def _spread(self, *values: Array, neutral: Sequence[float]) -> Array:
        return self.layout.spread(*values, present=self._there, neutral=neutral)

    def _columns(self, arrays: Array) -> list[Tensor]:
        return [self.layout.columns(array) for array in arrays]

    @property
    def _there(self) -> Array | None:
        return None if self.present is None else self.layout.arithmetic.of(self.present)


def scale_of(rstd: Array, weight: Array | None) -> Array:
    """Return rstd times weight, if there is one."""
    return rstd if weight is None else rstd * weight
