"""The update of running statistics, with either arithmetic."""

from torch import Tensor

from tritonbn.native.arithmetic import Arithmetic
from tritonbn.tensors import Running


def update(
    running: Running,
    mean: Tensor,
    var: Tensor,
    count: Tensor,
    arithmetic: Arithmetic,
    unbiased: bool = False,
) -> None:
    """Update the running statistics (C, S); segments without values keep theirs.

    The variance of the batch is made unbiased, unless it is already.
    """
    share = running.momentum if running.share is None else arithmetic.of(running.share)
    batch_mean, batch_var, m = (arithmetic.of(t) for t in (mean, var, count))
    share_or_0 = share * m.clip(max=1)
    correction = 1.0 if unbiased else m / arithmetic.at_least_1(m - 1)
    for channels in arithmetic.blocks(*mean.shape):
        batch = (batch_mean[channels], batch_var[channels] * correction)
        for whole, new in zip((running.mean, running.var), batch, strict=True):
            kept = whole[channels]
            old = arithmetic.of(kept)
            arithmetic.assign(kept, old + share_or_0 * (new - old))
