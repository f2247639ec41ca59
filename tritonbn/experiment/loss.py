"""What training minimizes. All fields and readings here are scaled."""

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

SMALLEST_MEAN_SQUARE = 1e-12
"""Below it, `sqrt` has a gradient of zero instead of one that is not a number."""


def station_error(field: Tensor, readings: Tensor, cells: Tensor) -> Tensor:
    """Mean square error of a field at the stations.

    Parameters
    ----------
    field : Tensor, shape (N, 1, H, W)
        Predictions.
    readings : Tensor, shape (N, S)
        What they should be; NaN = does not count.
    cells : Tensor of int64, shape (S,)
        Where the stations are.

    Returns
    -------
    Tensor, scalar
        Zero where nothing counts.
    """
    counts = ~readings.isnan()
    error = (field.flatten(1)[:, cells] - readings.nan_to_num(0.0)) * counts  # (N, S)
    return error.square().sum() / counts.sum().clamp(min=1)


def smooth_station_error(field: Tensor, readings: Tensor, cells: Tensor) -> Tensor:
    """Mean smooth L1 error (Huber, with beta 0.5) of a field at the stations.

    Parameters and the result are those of `station_error`.
    """
    counts = ~readings.isnan()
    estimates = field.flatten(1)[:, cells][counts]
    return smooth_l1_loss(
        estimates, readings[counts], reduction="sum", beta=0.5
    ) / counts.sum().clamp(min=1)


def roughness(field: Tensor) -> Tensor:
    """Mean squared difference of neighbouring cells.

    Parameters
    ----------
    field : Tensor, shape (N, 1, H, W)
        Predictions.

    Returns
    -------
    Tensor, scalar
        The mean over all pairs of cells that touch at a side or a corner (8 neighbours), each
        pair counted once; zero for a single cell.
    """
    differences = (
        field[..., 1:, :] - field[..., :-1, :],
        field[..., :, 1:] - field[..., :, :-1],
        field[..., 1:, 1:] - field[..., :-1, :-1],
        field[..., 1:, :-1] - field[..., :-1, 1:],
    )
    pairs = max(1, sum(difference.numel() for difference in differences))
    return torch.stack([difference.square().sum() for difference in differences]).sum() / pairs


def paper_loss(field: Tensor, readings: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
    """Return the published loss, ``2 * loss1 + loss2 + 0.01 * L2``.

    loss1 is the root of `station_error`: the published mean over the grid, masked to the stations,
    times cells / stations is the mean over the stations. loss2 is the root of `roughness`, and L2
    the sum of the squares of `weight`, that of the output convolution.
    """
    loss1 = station_error(field, readings, cells).clamp(min=SMALLEST_MEAN_SQUARE).sqrt()
    loss2 = roughness(field).clamp(min=SMALLEST_MEAN_SQUARE).sqrt()
    return 2 * loss1 + loss2 + 0.01 * weight.square().sum()
