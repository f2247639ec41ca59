"""Arithmetic that several kernels share."""

import triton
import triton.language as tl


@triton.jit
def load_statistics(mean, var, count, place, segment, exists, COMPUTE: tl.constexpr):
    """Load center, low, variance (float64) and presence of the segments of some columns.

    ``center + low`` is the mean as a sum of two numbers of the compute dtype: the rounded mean and
    the rounding error, which avoids a loss of precision if the mean is large. Cells in no segment
    and segments without values are not present; their center and low are 0.
    """
    present = exists & (segment >= 0)
    if count is not None:
        present = present & (tl.load(count + segment, mask=present, other=0) > 0)
    exact = tl.load(mean + place, mask=present, other=0).to(tl.float64)
    center = exact.to(COMPUTE)
    low = (exact - center.to(tl.float64)).to(COMPUTE)
    return center, low, tl.load(var + place, mask=present, other=0).to(tl.float64), present


@triton.jit
def load_affine(variance, weight, bias, place, present, eps: tl.constexpr, COMPUTE: tl.constexpr):
    """Return rstd, scale and shift of ``y = (x - center - low) * scale + shift``.

    For a column that is not present they are 1, 1 and -0.0, which return every x bitwise unchanged,
    including 0.0 and -0.0.
    """
    rstd = tl.where(present, tl.rsqrt((variance + eps).to(COMPUTE)), 1.0)
    scale = rstd
    if weight is not None:
        scale = scale * tl.load(weight + place, mask=present, other=1.0).to(COMPUTE)
    # -0.0 is computed, because Triton turns the constant -0.0 into 0.0
    shift = (tl.where(present, 1.0, -1.0) * 0.0).to(COMPUTE)
    if bias is not None:
        shift = tl.where(present, tl.load(bias + place, mask=present, other=0).to(COMPUTE), shift)
    return rstd, scale, shift


@triton.jit
def statistics_gradient(m, dweight, dbias, low, rstd, scale):
    """Return slope and constant of the gradient of x through the statistics.

    This gradient is ``-(dbias + xhat * dweight) * scale / m`` with
    ``xhat = (x - center - low) * rstd``, a linear function of ``x - center``.
    """
    slope = -scale * rstd * dweight / m
    return slope, -scale * dbias / m - slope * low


@triton.jit
def tanh(x):
    """Return the hyperbolic tangent of x, near 0 by its Taylor series.

    There ``2 * sigmoid(2 * x) - 1`` would be the difference of two numbers that are nearly equal.
    """
    square = x * x
    series = 62 / 2835 - square * (1382 / 155925)
    series = 2 / 15 + square * (-17 / 315 + square * series)
    series = x + x * square * (-1 / 3 + square * series)
    return tl.where(square < 0.01, series, 2 * tl.sigmoid(2 * x) - 1)


@triton.jit
def activate(z, ACTIVATION: tl.constexpr):
    """Return the activation of z."""
    if ACTIVATION == "relu":
        return tl.where(z < 0, 0.0, z)
    elif ACTIVATION == "silu":
        return z * tl.sigmoid(z)
    elif ACTIVATION == "sigmoid":
        return tl.sigmoid(z)
    elif ACTIVATION == "tanh":
        return tanh(z)
    else:
        tl.static_assert(ACTIVATION is None, "there is no kernel for this activation")
        return z


@triton.jit
def activation_gradient(dy, z, ACTIVATION: tl.constexpr):
    """Return the gradient of z, given the gradient of ``activate(z)``."""
    if ACTIVATION == "relu":
        return tl.where(z <= 0, 0.0, dy)
    elif ACTIVATION == "silu":
        s = tl.sigmoid(z)
        return dy * s * (1 + z * (1 - s))
    elif ACTIVATION == "sigmoid":
        s = tl.sigmoid(z)
        return dy * s * (1 - s)
    elif ACTIVATION == "tanh":
        s = tl.sigmoid(2 * z)
        return dy * 4 * s * (1 - s)
    else:
        tl.static_assert(ACTIVATION is None, "there is no kernel for this activation")
        return dy


@triton.jit
def is_used(value, counted):
    """Return whether a value contributes to gradients: it is included, or at least finite."""
    return counted | (tl.abs(value) < float("inf"))


@triton.jit
def update_running(running, batch, momentum, share, place, present):
    """Update running statistics with those of the batch, weighted by `share` or by `momentum`.

    `share` is a tensor or None. `batch` is float64; the running statistics may have any dtype.
    """
    if share is not None:
        momentum = tl.load(share).to(tl.float64)
    old = tl.load(running + place, mask=present, other=0).to(tl.float64)
    new = old + momentum * (batch - old)
    if running.dtype.element_ty == tl.bfloat16:  # Triton's interpreter has no direct conversion
        new = new.to(tl.float32)
    tl.store(running + place, new.to(running.dtype.element_ty), mask=present)
