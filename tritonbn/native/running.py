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
    with arithmetic.silent():
        share_or_0 = share * m.clip(max=1)
        if not unbiased:
            batch_var = batch_var * (m / arithmetic.at_least_1(m - 1))
        for kept, batch in ((running.mean, batch_mean), (running.var, batch_var)):
            old = arithmetic.of(kept)
            arithmetic.assign(kept, old + share_or_0 * (batch - old))
