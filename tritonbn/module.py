"""`LocalBN`: local batch normalization as a layer."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.fx
from numpy.typing import NDArray
from torch import Tensor, nn

from tritonbn import ranks
from tritonbn.backends import Backend
from tritonbn.levels import segments_and_levels
from tritonbn.ops import Activation, check_options, local_batch_norm
from tritonbn.pooled import PooledBatchNorm, checked_tau
from tritonbn.segments import Segments

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class RunningStatistics(NamedTuple):
    """Running mean, running variance and the number of batches that they average; or None."""

    mean: Tensor | None
    var: Tensor | None
    batches: Tensor | None


class LocalBN(PooledBatchNorm):
    """Batch normalization with a mean, variance, weight and bias per segment of the grid.

    The definition is in `tritonbn.local_batch_norm`. Apart from the segments the layer behaves like
    `torch.nn.BatchNorm2d` in training and evaluation; with one segment over the whole grid it
    computes the same. It has the base class of PyTorch's batch norms, so tools such as
    `torch.optim.swa_utils.update_bn` find it.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    segments : Segments, ids of the segments, sequence of int, or sequence of Segments
        The partition of the grid into S segments. Ids are a tensor, an array or a nested sequence
        of integers, as for `Segments`. A sequence of int is the shape of the grid, such as ``(32,
        32)``, with one segment per cell. A sequence of Segments has levels from fine to coarse,
        such as stations, districts and the whole grid; see `pooling`.
    eps : float, default 1e-5
        Added to the variance for numerical stability; must be positive.
    momentum : float or None, default 0.1
        The weight of a batch in the running statistics. None means their average over all batches.
    affine : bool, default True
        Whether to learn a weight, and a bias unless `bias` is False.
    track_running_stats : bool, default True
        Whether to keep running statistics for evaluation. Without them the statistics of the batch
        are used in evaluation, too.
    bias : bool, default True
        Whether to learn a bias, if `affine`.
    activation : "relu", "silu", "sigmoid", "tanh" or None, default None
        Applied to the normalized values.
    backend : "auto", "triton", "native" or "reference", default "auto"
        The implementation; see `tritonbn.local_batch_norm`.
    pooling : float or sequence of float, optional
        tau, required for several levels and not allowed for one: the number of values that count as
        much as the level above. A segment with n values is normalized with the mean and mean square
        ``share * own + (1 - share) * above``, where ``share = n / (n + tau)``, and `above` is the
        same estimate of the next coarser level. 0 uses the finest level alone, infinity the
        coarsest one. A sequence has a number for each level but the last.
    learn_pooling : bool, default False
        Whether tau is learned, beginning at `pooling`, as the exponential of the parameter
        `log_tau`.
    process_group : torch.distributed.ProcessGroup, its name, or None, default None
        If given, the statistics in training are those of the values of all ranks of the group, as
        in `torch.nn.SyncBatchNorm`; see `tritonbn.convert_sync_localbn`. None means those of each
        process.
    device, dtype : optional
        Device and dtype of the parameters and the running statistics.

    Attributes
    ----------
    weight, bias : Parameter, shape (C, S), or None
        Initially 1 and 0. With several levels, those of the coarsest one.
    weight_deviations, bias_deviations : ParameterList
        With several levels: what each finer level adds to weight and bias, initially 0. Weight
        decay of these shrinks each segment towards the level above.
    log_tau : Parameter, shape (L - 1,)
        With `learn_pooling`: the logarithm of tau of each of the L levels but the last.
    running_mean, running_var : Tensor (buffer), shape (C, S), or None
        Initially 0 and 1.
    num_batches_tracked : Tensor (buffer), scalar int64, or None
        Number of training batches seen.
    segments : Segments
        Can be replaced by a partition with the same number of segments, even of another grid.
    segment_ids : Tensor of int64, shape of the grid, on the CPU
        The ids of the segments. They are not a buffer, but are saved in the `state_dict` and taken
        over from one that is loaded. Can be set, or changed in place.
    process_group : torch.distributed.ProcessGroup or None
        Can be set. Copies and pickled layers refer to the group by its name; it is None in a
        process without such a group, where the layer can be used in evaluation only.

    Raises
    ------
    TypeError, ValueError
        If no `Segments` can be made from `segments`, `num_features` or `eps` is not positive, an
        option does not exist, or `pooling` does not fit the number of levels.

    References
    ----------
    Ioffe, Szegedy, "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", ICML 2015, https://arxiv.org/abs/1502.03167

    Examples
    --------
    >>> import torch
    >>> from tritonbn import LocalBN, Segments
    >>> layer = LocalBN(4, Segments.nearest([0, 13, 21], grid=(5, 6)))  # three stations
    >>> y = layer(torch.randn(8, 4, 5, 6))
    >>> y.shape, layer.weight.shape
    (torch.Size([8, 4, 5, 6]), torch.Size([4, 3]))
    >>> bool(y[:, :, layer.segment_ids == 1].mean().abs() < 1e-5)  # each segment has mean 0
    True
    """

    _group_name: str | None = None  # of layers that were pickled by an earlier version
    weight: nn.Parameter | None  # type: ignore[assignment]
    bias: nn.Parameter | None  # type: ignore[assignment]

    def __init__(
        self,
        num_features: int,
        segments: Segments | Tensor | NDArray[Any] | Sequence[Any],
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        activation: Activation | None = None,
        backend: Backend = "auto",
        pooling: float | Sequence[float] | None = None,
        learn_pooling: bool = False,
        process_group: "ProcessGroup | str | None" = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        check_options(activation, backend, eps)
        segments, levels = segments_and_levels(segments)
        tau = checked_tau(levels, pooling, learn_pooling)
        super().__init__(num_features, segments, eps, momentum)
        self.pooling = pooling
        self.learn_pooling = learn_pooling
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.activation = activation
        self.backend = backend
        self._group_name = ranks.name_of(process_group)

        def empty(segments: Segments) -> Tensor:
            shape = (num_features, segments.num_segments)
            return torch.empty(shape, device=device, dtype=dtype)

        coarsest = segments if levels is None else levels.levels[-1]
        self.weight = nn.Parameter(empty(coarsest)) if affine else None
        self.bias = nn.Parameter(empty(coarsest)) if affine and bias else None
        if track_running_stats:
            self.running_mean, self.running_var = empty(segments), empty(segments)
            self.num_batches_tracked = torch.tensor(0, device=device)
        if levels is not None:
            self._add_levels(levels, tau, torch.empty(0, device=device, dtype=dtype))
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
        self._reset_levels()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize x.

        Parameters
        ----------
        x : floating-point Tensor, shape ``(N, C, *extra, *grid)``
        mask : Tensor of bool, broadcastable to ``(N, 1, *extra, *grid)``, optional
            True where a value is included in the statistics of the batch.

        Returns
        -------
        Tensor
            Shape, dtype and memory format of x.

        Raises
        ------
        TypeError, ValueError
            See `tritonbn.local_batch_norm`.
        """
        return _normalize(self, x, mask)

    def _running_statistics(self, time: int) -> RunningStatistics:
        """Return the running statistics of a time; here they are the same for all times."""
        return RunningStatistics(self.running_mean, self.running_var, self.num_batches_tracked)

    @property
    def process_group(self) -> "ProcessGroup | None":
        """The process group over whose ranks the statistics in training are computed."""
        try:
            return None if self._group_name is None else ranks.find(self._group_name)
        except ValueError:
            return None

    @process_group.setter
    def process_group(self, group: "ProcessGroup | str | None") -> None:
        self._group_name = ranks.name_of(group)

    @property
    def qconfig(self) -> Any:
        """The configuration of `torch.ao.quantization`, if one was set.

        It is a property because `convert_sync_batchnorm` reads it from each batch norm that it
        replaces: here it raises an error instead, as a `torch.nn.SyncBatchNorm` would be global.
        """
        if sys._getframe(1).f_code.co_name == "convert_sync_batchnorm":
            raise TypeError(
                "LocalBN cannot be converted to a SyncBatchNorm, which is global; call "
                "tritonbn.convert_sync_localbn, and convert_sync_batchnorm on the parts of the "
                "model without LocalBN"
            )
        return self._qconfig

    @qconfig.setter
    def qconfig(self, qconfig: Any) -> None:
        self._qconfig = qconfig

    @qconfig.deleter
    def qconfig(self) -> None:
        del self._qconfig

    def __prepare_scriptable__(self) -> nn.Module:
        """Raise an error with advice if the layer is compiled to TorchScript."""
        raise TypeError(
            "LocalBN cannot be compiled by torch.jit.script; torch.jit.trace and torch.export work"
        )

    def extra_repr(self) -> str:
        """Describe the layer in the format of `torch.nn.BatchNorm2d`."""
        options = {
            "bias": (self.bias is not None, self.affine),
            "activation": (self.activation, None),
            "backend": (self.backend, "auto"),
            "pooling": (self.pooling, None),
            "learn_pooling": (self.learn_pooling, False),
            "process_group": (self._group_name, None),
        }
        unusual = [f", {name}={a!r}" for name, (a, usual) in options.items() if a != usual]
        return (
            f"{self.num_features}, {self.segments}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
            f"{''.join(unusual)}"
        )


@torch.fx.wrap
def _normalize(layer: LocalBN, x: Tensor, mask: Tensor | None, time: int = 0) -> Tensor:
    """Call the layer; a separate function, which `torch.fx` records as a single step.

    The `time` is for layers that keep statistics for each time of a sequence.
    """
    if isinstance(x, Tensor) and (x.dim() < 2 or x.shape[1] != layer.num_features):
        raise ValueError(
            f"x must have {layer.num_features} channels, shape (N, C, ...), got {tuple(x.shape)}"
        )
    mean, var, count = layer._running_statistics(time)
    tracked = mean if layer.training and layer.track_running_stats else None
    momentum: float | Tensor = 0.0 if layer.momentum is None else layer.momentum
    if tracked is not None and layer.momentum is None and count is not None:
        momentum = 1.0 / (count + 1).to(torch.promote_types(tracked.dtype, torch.float32))
    ignored = layer.training and not layer.track_running_stats
    weight, bias = layer.segment_parameters()
    y = local_batch_norm(
        x,
        layer.segments,
        None if ignored else mean,
        None if ignored else var,
        weight,
        bias,
        layer.training,
        momentum,
        layer.eps,
        mask=mask,
        activation=layer.activation,
        backend=layer.backend,
        process_group=layer._group_name if layer.training else None,
        pooling=layer._pooling(x) if layer.training or not layer.track_running_stats else None,
    )
    if tracked is not None and count is not None:
        count.add_(1)
    return y
