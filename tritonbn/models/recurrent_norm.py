"""`RecurrentBN`: local batch normalization with statistics for each time of a sequence."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from tritonbn import module
from tritonbn.segments import Segments

INITIAL_WEIGHT = 0.1
"""Of a `RecurrentBN`: from 1, the hyperbolic tangents would saturate and gradients would vanish."""


class RecurrentBN(module.LocalBN):
    """A `LocalBN` with statistics for each time of a sequence, and one weight and bias for all.

    The distribution of a hidden state changes from time to time, most of all at the start of a
    sequence, so the times cannot share their statistics.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    segments : Segments, ids of the segments, sequence of int, or sequence of Segments
        The partition of the grid into S segments, as in `LocalBN`.
    norm_times : int
        T, the number of times with statistics of their own; later times share those of the last.
    **options
        Further arguments of `LocalBN`, such as `bias` and `momentum`.

    Attributes
    ----------
    weight, bias : Parameter, shape (C, S), or None
        Initially 0.1 and 0.
    running_mean, running_var : Tensor (buffer), shape (T, C, S), or None
        Initially 0 and 1.
    num_batches_tracked : Tensor of int64 (buffer), shape (T,), or None
        Number of training batches seen at each time.

    Raises
    ------
    TypeError, ValueError
        Those of `LocalBN`, and if `norm_times` is not positive.

    References
    ----------
    Cooijmans et al., "Recurrent batch normalization", ICLR 2017, https://arxiv.org/abs/1603.09025

    Examples
    --------
    >>> import torch
    >>> from tritonbn.models.recurrent_norm import RecurrentBN
    >>> layer = RecurrentBN(4, (5, 6), norm_times=3)
    >>> layer(torch.randn(8, 4, 5, 6), time=7).shape  # with the statistics of the third time
    torch.Size([8, 4, 5, 6])
    >>> layer.running_mean.shape, layer.num_batches_tracked
    (torch.Size([3, 4, 30]), tensor([0, 0, 1]))
    """

    def __init__(
        self,
        num_features: int,
        segments: Segments | Tensor | Sequence[Any],
        norm_times: int,
        *,
        device: torch.device | str | None = None,  # named, because skip_init asks for it
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(norm_times, Integral) or norm_times < 1:
            raise ValueError(f"norm_times must be an integer of at least 1, got {norm_times}")
        super().__init__(num_features, segments, device=device, dtype=dtype, **options)
        self.norm_times: int = int(norm_times)
        for name, buffer in list(self.named_buffers(recurse=False)):
            setattr(self, name, buffer.expand(self.norm_times, *buffer.shape).clone())

    def reset_parameters(self) -> None:
        """Set the weight to 0.1, the bias to 0, and the buffers to their initial values."""
        super().reset_parameters()
        if self.weight is not None:
            nn.init.constant_(self.weight, INITIAL_WEIGHT)

    def forward(self, x: Tensor, mask: Tensor | None = None, time: int = 0) -> Tensor:
        """Normalize x, the values of one time.

        Parameters
        ----------
        x, mask
            As for `LocalBN`.
        time : int
            The time, counted from the start of the sequence. Default 0.

        Returns
        -------
        Tensor
            Shape, dtype and memory format of x.

        Raises
        ------
        TypeError, ValueError
            See `tritonbn.local_batch_norm`; and if `time` is negative.
        """
        if time < 0:
            raise ValueError(f"time must be at least 0, got {time}")
        return module._normalize(self, x, mask, time)

    def _running_statistics(self, time: int) -> module.RunningStatistics:
        """Return running mean, running variance and counter of a time.

        In evaluation, a time that training has not reached has those of the nearest one that it
        has.
        """
        whole = super()._running_statistics(time)
        row = min(time, self.norm_times - 1)
        counts = self.num_batches_tracked
        if self.training or counts is None:
            return module.RunningStatistics(*(None if t is None else t[row] for t in whole))
        distance = (torch.arange(self.norm_times, device=counts.device) - row).abs()
        nearest = torch.where(counts > 0, distance, distance + self.norm_times).argmin()
        return module.RunningStatistics(  # index_select does not wait for a GPU
            *(None if t is None else t.index_select(0, nearest.view(1))[0] for t in whole)
        )

    def extra_repr(self) -> str:
        """Describe the layer in the format of `torch.nn.BatchNorm2d`."""
        return f"{super().extra_repr()}, norm_times={self.norm_times}"
