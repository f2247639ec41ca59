"""`LocalBN`: local batch normalization as a layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tritonbn.ops import Activation, local_batch_norm
from tritonbn.segments import Segments


class LocalBN(nn.Module):
    """Batch normalization with statistics, scale and offset per segment of the grid.

    Everything but the segments is `torch.nn.BatchNorm2d`, and with one segment over the whole grid
    it is the same layer. The definition is that of `tritonbn.local_batch_norm`.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    segments : Segments, integer Tensor of ids, or sequence of int
        The partition of the grid. A bare grid shape such as ``(32, 32)`` is one segment per cell.
    eps : float, default 1e-5
    momentum : float or None, default 0.1
        The share of a batch in the running statistics; None is the average over all batches.
    affine : bool, default True
        Whether to learn a weight, and a bias if `bias`.
    track_running_stats : bool, default True
        Whether to keep running statistics for evaluation; without them the statistics of the batch
        are used in evaluation, too.
    bias : bool, default True
    activation : "relu", "silu", "sigmoid", "tanh" or None, default None
        Applied to the result.
    device, dtype : optional
        Of the parameters and the running statistics.

    Attributes
    ----------
    weight, bias : Parameter, shape (C, S)
        Initially 1 and 0.
    running_mean, running_var : buffer, shape (C, S)
        Initially 0 and 1.
    num_batches_tracked : buffer, scalar int64
    segment_ids : buffer of int64, shape of the grid
        Part of the state, so that a checkpoint tells its segments; loading one takes them over.

    Raises
    ------
    TypeError, ValueError
        If `segments` do not make `Segments`, or `num_features` is not positive.

    Examples
    --------
    >>> layer = LocalBN(64, Segments.nearest([5, 40, 621], grid=(32, 32)))
    >>> layer(torch.randn(8, 64, 32, 32)).shape
    torch.Size([8, 64, 32, 32])
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    segment_ids: Tensor
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        segments: Segments | Tensor | Sequence[int],
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        activation: Activation | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        if isinstance(segments, Tensor):
            segments = Segments(segments)
        elif not isinstance(segments, Segments):
            segments = Segments.per_cell(segments)
        self.num_features = num_features
        self.segments = segments
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.activation = activation

        shape = (num_features, segments.num_segments)

        def parameter(wanted: bool) -> nn.Parameter | None:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype)) if wanted else None

        def statistic() -> Tensor | None:
            return torch.empty(shape, device=device, dtype=dtype) if track_running_stats else None

        self.register_parameter("weight", parameter(affine))
        self.register_parameter("bias", parameter(affine and bias))
        self.register_buffer("running_mean", statistic())
        self.register_buffer("running_var", statistic())
        counter = torch.tensor(0, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", counter)
        self.register_buffer(
            "segment_ids", torch.empty(segments.grid, device=device, dtype=torch.int64)
        )
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the running variance to 1 and the counter to 0."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set the weight to 1, the bias to 0, and the buffers to their initial values."""
        self.reset_running_stats()
        self.segment_ids.copy_(self.segments.ids)
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize x.

        Parameters
        ----------
        x : Tensor of a floating type, shape (N, C, *extra, *grid)
        mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), optional
            True = counts for the statistics.

        Returns
        -------
        Tensor
            Shape, type and memory format of x.

        Raises
        ------
        TypeError, ValueError
            As `tritonbn.local_batch_norm` does.
        """
        if x.dim() < 2 or x.shape[1] != self.num_features:
            raise ValueError(
                f"x must have {self.num_features} channels, shape (N, C, ...), got {tuple(x.shape)}"
            )
        momentum: float | Tensor = 0.0 if self.momentum is None else self.momentum
        tracked = self.running_mean if self.training else None
        if tracked is not None and self.momentum is None:
            momentum = 1.0 / (self.num_batches_tracked + 1).to(tracked.dtype)
        y = local_batch_norm(
            x,
            self.segments,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            momentum,
            self.eps,
            mask=mask,
            activation=self.activation,
        )
        if tracked is not None:
            self.num_batches_tracked.add_(1)
        return y

    def extra_repr(self) -> str:
        """Describe the layer as `torch.nn.BatchNorm2d` does."""
        activation = f", activation={self.activation!r}" if self.activation else ""
        return (
            f"{self.num_features}, {self.segments}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}{activation}"
        )

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take over the segments of the state, or a `torch.nn.BatchNorm2d` into one segment."""
        state = dict(state_dict)
        ids = state.get(prefix + "segment_ids")
        if ids is None and self.segments.num_segments == 1:
            state[prefix + "segment_ids"] = self.segment_ids
            for name in ("weight", "bias", "running_mean", "running_var"):
                value = state.get(prefix + name)
                if value is not None and value.shape == (self.num_features,):
                    state[prefix + name] = value[:, None]
        elif ids is not None:
            saved = Segments(ids)
            if (saved.grid, saved.num_segments) == (self.segments.grid, self.segments.num_segments):
                self.segments = saved
            else:
                state[prefix + "segment_ids"] = self.segment_ids
                error_msgs.append(f"{prefix}segments: {saved} cannot be loaded to {self.segments}")
        super()._load_from_state_dict(
            state, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
