"""The losses that training minimizes. Their fields and readings are scaled."""

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

SMALLEST_MEAN_SQUARE = 1e-12
"""Lower bound inside the square roots, whose gradient at 0 is not finite."""


def station_error(field: Tensor, readings: Tensor, cells: Tensor) -> Tensor:
    """Return the mean squared error of a field at the stations.

    Parameters
    ----------
    field : Tensor, shape (N, 1, H, W)
        Predictions.
    readings : Tensor, shape (N, S)
        The targets; NaN = not part of the loss.
    cells : Tensor of int64, shape (S,)
        The cells of the stations.

    Returns
    -------
    Tensor, scalar
        Zero if there is no target.
    """
    counts = ~readings.isnan()
    error = (field.flatten(1)[:, cells] - readings.nan_to_num(0.0)) * counts  # (N, S)
    return error.square().sum() / counts.sum().clamp(min=1)


def smooth_station_error(field: Tensor, readings: Tensor, cells: Tensor) -> Tensor:
    """Return the mean smooth L1 error (Huber, with beta 0.5) of a field at the stations.

    Parameters and the result are those of `station_error`.
    """
    counts = ~readings.isnan()
    estimates = field.flatten(1)[:, cells][counts]
    return smooth_l1_loss(
        estimates, readings[counts], reduction="sum", beta=0.5
    ) / counts.sum().clamp(min=1)


def roughness(field: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring cells.

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

    loss1 is the square root of `station_error`, since the published mean over the grid, masked to
    the stations and multiplied by cells / stations, is the mean over the stations. loss2 is the
    square root of `roughness`, and L2 the sum of the squares of `weight`, the weight of the output
    convolution.
    """
    loss1 = station_error(field, readings, cells).clamp(min=SMALLEST_MEAN_SQUARE).sqrt()
    loss2 = roughness(field).clamp(min=SMALLEST_MEAN_SQUARE).sqrt()
    return 2 * loss1 + loss2 + 0.01 * weight.square().sum()
