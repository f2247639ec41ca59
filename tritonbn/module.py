"""`LocalBN`: local batch normalization as a layer."""

import sys
from collections.abc import Sequence
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn

from tritonbn.backends import Backend
from tritonbn.ops import Activation, local_batch_norm
from tritonbn.segmented import SegmentedBatchNorm
from tritonbn.segments import Segments


class LocalBN(SegmentedBatchNorm):
    """Batch normalization with statistics, scale and offset per segment of the grid.

    Everything but the segments is `torch.nn.BatchNorm2d`, and with one segment over the whole grid
    it is the same layer. The definition is that of `tritonbn.local_batch_norm`. Tools that look for
    PyTorch's batch norms, such as `torch.optim.swa_utils.update_bn`, find this one.

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
    backend : "auto", "triton", "native" or "reference", default "auto"
        What computes it, as in `tritonbn.local_batch_norm`.
    device, dtype : optional
        Of the parameters and the running statistics.

    Attributes
    ----------
    weight, bias : Parameter, shape (C, S)
        Initially 1 and 0.
    running_mean, running_var : buffer, shape (C, S)
        Initially 0 and 1.
    num_batches_tracked : buffer, scalar int64
    segments : Segments
        May be set to others of the same number of segments, also on another grid.
    segment_ids : Tensor of int64, shape of the grid, on the CPU
        The ids of the segments. They are no buffer, but part of the state, so that a checkpoint
        tells its segments; loading one takes them over. May be set, or changed in place.

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

    weight: nn.Parameter | None  # type: ignore[assignment]
    bias: nn.Parameter | None  # type: ignore[assignment]

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
        backend: Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        if isinstance(segments, Tensor):
            segments = Segments(segments)
        elif not isinstance(segments, Segments):
            segments = Segments.per_cell(segments)
        super().__init__(num_features, segments, eps, momentum)
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.activation = activation
        self.backend = backend

        shape = (num_features, segments.num_segments)

        def empty() -> Tensor:
            return torch.empty(shape, device=device, dtype=dtype)

        self.weight = nn.Parameter(empty()) if affine else None
        self.bias = nn.Parameter(empty()) if affine and bias else None
        if track_running_stats:
            self.running_mean, self.running_var = empty(), empty()
            self.num_batches_tracked = torch.tensor(0, device=device)
        self._place_segments()
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the running variance to 1 and the counter to 0."""
        for statistic, value in (
            (self.running_mean, 0),
            (self.running_var, 1),
            (self.num_batches_tracked, 0),
        ):
            if statistic is not None:
                statistic.fill_(value)

    def reset_parameters(self) -> None:
        """Set the weight to 1, the bias to 0, and the buffers to their initial values."""
        self.reset_running_stats()
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
        return _normalize(self, x, mask)

    @property
    def qconfig(self) -> Any:
        """The configuration of `torch.ao.quantization`, if one was set.

        It is a property to refuse to become a `torch.nn.SyncBatchNorm`: `convert_sync_batchnorm`
        looks for it in each batch norm that it replaces.
        """
        if sys._getframe(1).f_code.co_name == "convert_sync_batchnorm":
            raise TypeError(
                "LocalBN cannot be made a SyncBatchNorm, which is global; call "
                "convert_sync_batchnorm on the parts of the model that have no LocalBN"
            )
        return self._qconfig

    @qconfig.setter
    def qconfig(self, qconfig: Any) -> None:
        self._qconfig = qconfig

    @qconfig.deleter
    def qconfig(self) -> None:
        del self._qconfig

    def __prepare_scriptable__(self) -> nn.Module:
        """Say what to do to whoever compiles this to TorchScript."""
        raise TypeError(
            "LocalBN cannot be compiled by torch.jit.script; torch.jit.trace and torch.export work"
        )

    def extra_repr(self) -> str:
        """Describe the layer as `torch.nn.BatchNorm2d` does."""
        activation = f", activation={self.activation!r}" if self.activation else ""
        return (
            f"{self.num_features}, {self.segments}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}{activation}"
        )


@torch.fx.wrap
def _normalize(layer: LocalBN, x: Tensor, mask: Tensor | None) -> Tensor:
    """Call the layer; a function of its own, which `torch.fx` takes as one step."""
    if x.dim() < 2 or x.shape[1] != layer.num_features:
        raise ValueError(
            f"x must have {layer.num_features} channels, shape (N, C, ...), got {tuple(x.shape)}"
        )
    tracked = layer.running_mean if layer.training and layer.track_running_stats else None
    momentum: float | Tensor = 0.0 if layer.momentum is None else layer.momentum
    if tracked is not None and layer.momentum is None and layer.num_batches_tracked is not None:
        momentum = 1.0 / (layer.num_batches_tracked + 1).to(tracked.dtype)
    ignored = layer.training and not layer.track_running_stats
    y = local_batch_norm(
        x,
        layer.segments,
        None if ignored else layer.running_mean,
        None if ignored else layer.running_var,
        layer.weight,
        layer.bias,
        layer.training,
        momentum,
        layer.eps,
        mask=mask,
        activation=layer.activation,
        backend=layer.backend,
    )
    if tracked is not None and layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
    return y
