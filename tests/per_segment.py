"""An independent reference: PyTorch's batch norm, called separately for each segment."""

from torch import Tensor
from torch.nn.functional import batch_norm

from tritonbn import Segments


def per_segment(
    x: Tensor,
    segments: Segments,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Compute local batch normalization in float64 with `torch.nn.functional.batch_norm`."""
    ids = segments.ids.expand(x.shape[2:])
    y = x.double().clone()
    for k in range(segments.num_segments):
        column = [None if p is None else p[:, k] for p in (running_mean, running_var, weight, bias)]
        mean, var, scale, offset = (None if p is None else p.double().clone() for p in column)
        y[:, :, ids == k] = batch_norm(
            x[:, :, ids == k].double(), mean, var, scale, offset, training, momentum, eps
        )
        for running, updated in ((column[0], mean), (column[1], var)):
            if running is not None and training:
                running.copy_(updated)
    return y
