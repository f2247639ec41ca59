"""Other ways to compute local batch normalization with PyTorch's operations."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from tritonbn.segments import Segments

_EPS, _MOMENTUM = 1e-5, 0.1


class PublishedLayers(nn.Module):
    """The published implementation: a slice and a batch norm layer per cell, then concatenation."""

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.layers = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(grid[0] * grid[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, C, H, W) cell by cell."""
        normalized = []
        for cell, layer in enumerate(self.layers):
            row, column = divmod(cell, self.grid[1])
            normalized.append(layer(x[:, :, row : row + 1, column : column + 1]))
        return torch.cat(normalized, dim=2).view(x.shape)


class UnboundLayers(PublishedLayers):
    """The same layers, with one split into cells; this avoids most copies in the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, C, H, W) cell by cell."""
        cells = torch.split(x.flatten(2).unsqueeze(2), 1, dim=3)
        normalized = [layer(cell) for layer, cell in zip(self.layers, cells, strict=True)]
        return torch.cat(normalized, dim=3).view(x.shape)


class ViewAsFeatures(nn.Module):
    """One feature per channel and cell: `F.batch_norm` on the (N, C * H * W) view."""

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.layer = nn.BatchNorm1d(channels * grid[0] * grid[1])

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, C, H, W)."""
        return self.layer(x.flatten(1)).view(x.shape)  # type: ignore[no-any-return]


class _PerSegment(nn.Module):
    """Parameters and running statistics (C, S) of segments that cover the whole grid."""

    ids: Tensor
    cells: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, segments: Segments) -> None:
        super().__init__()
        shape = (channels, segments.num_segments)
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))
        self.register_buffer("ids", segments.ids.flatten())
        self.register_buffer("cells", segments.cell_counts.float())

    @torch.no_grad()
    def _update(self, mean: Tensor, var: Tensor, samples: int) -> None:
        m = samples * self.cells
        self.running_mean.lerp_(mean, _MOMENTUM)
        self.running_var.lerp_(var * (m / (m - 1)), _MOMENTUM)


class OneHotMatmul(_PerSegment):
    """Sums over segments, and their inverse, as products with the one-hot matrix of the ids."""

    member: Tensor

    def __init__(self, channels: int, segments: Segments) -> None:
        super().__init__(channels, segments)
        member = one_hot(self.ids, segments.num_segments).float()  # (cells, S)
        self.register_buffer("member", member)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, C, H, W); statistics are computed in float32."""
        values = x.flatten(2).float()
        spread = self.member.t()
        if self.training:
            mean = values.mean(0) @ self.member / self.cells
            centered = values - mean @ spread
            var = centered.square().mean(0) @ self.member / self.cells
            self._update(mean, var, len(x))
        else:
            mean, var = self.running_mean, self.running_var
            centered = values - mean @ spread
        scale = self.weight * torch.rsqrt(var + _EPS)
        y = centered * (scale @ spread) + self.bias @ spread
        return y.to(x.dtype).view(x.shape)


class StatsAndElemt(_PerSegment):
    """The CUDA kernels of `nn.SyncBatchNorm` on the (N, C * H * W) view, and `index_add`.

    `torch.batch_norm_stats` gives mean and variance of each column, which are merged into segments;
    `torch.batch_norm_elemt` applies them. The backward pass does the same with its sums.
    """

    one: Tensor

    def __init__(self, channels: int, segments: Segments) -> None:
        super().__init__(channels, segments)
        self.register_buffer("one", torch.ones(1, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, C, H, W), a contiguous CUDA tensor."""
        columns = x.flatten(1)
        if self.training:
            y, mean, var = _MergedColumns.apply(  # type: ignore[no-untyped-call]
                columns, self.weight, self.bias, self.ids, self.cells, self.one
            )
            self._update(mean, var, len(x))
        else:
            invstd = torch.rsqrt(self.running_var + _EPS)
            weight, bias, mean, invstd = (
                _spread(values, self.ids)
                for values in (self.weight, self.bias, self.running_mean, invstd)
            )
            y = torch.batch_norm_elemt(columns, weight, bias, mean, invstd, _EPS)
        return y.view(x.shape)  # type: ignore[no-any-return]


class _MergedColumns(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        ids: Tensor,
        cells: Tensor,
        one: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        column_mean, column_invstd = torch.batch_norm_stats(x, _EPS)
        mean = _merge(column_mean, weight, ids) / cells
        deviation = column_invstd.pow(-2) - _EPS + (column_mean - _spread(mean, ids)).square()
        var = _merge(deviation, weight, ids) / cells
        coefficients = (weight, bias, mean, torch.rsqrt(var + _EPS))
        spread_weight, spread_bias, spread_mean, spread_invstd = (
            _spread(values, ids) for values in coefficients
        )
        y = torch.batch_norm_elemt(x, spread_weight, spread_bias, spread_mean, spread_invstd, _EPS)
        ctx.save_for_backward(x, weight, ids, cells, one, spread_mean, spread_invstd, var)
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        dy = gradients[0].contiguous()
        x, weight, ids, cells, one, mean, invstd, var = ctx.saved_tensors
        spread_weight = _spread(weight, ids)
        sum_dy, sum_dy_xmu, _, _ = torch.batch_norm_backward_reduce(
            dy, x, mean, invstd, spread_weight, True, False, False
        )
        dbias = _merge(sum_dy, weight, ids)
        products = _merge(sum_dy_xmu, weight, ids)  # of dy and x - mean
        m = len(x) * cells
        # the kernel divides by one count, but segments differ: it gets means, and the count 1
        dx = torch.batch_norm_backward_elemt(
            dy,
            x,
            mean,
            invstd,
            spread_weight,
            _spread(dbias / m, ids),
            _spread(products / m, ids),
            one,
        )
        return dx, products * torch.rsqrt(var + _EPS), dbias, None, None, None


def _merge(columns: Tensor, like: Tensor, ids: Tensor) -> Tensor:
    """Sum columns (C * cells,) over segments to (C, S)."""
    return torch.zeros_like(like).index_add_(1, ids, columns.view(len(like), -1))


def _spread(values: Tensor, ids: Tensor) -> Tensor:
    """Copy values (C, S) to the columns (C * cells,) of their segments."""
    return values[:, ids].flatten()
