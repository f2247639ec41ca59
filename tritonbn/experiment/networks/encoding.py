"""From readings to the input of a network, and from its output to the unit of the readings."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from data_prep.city import CityData
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.task.arrays import BoolArray, IntArray
from tritonbn.experiment.task.folds import Fold

MIN_STD = 2.0
"""Lower bound of a standard deviation by which readings are divided, in ug/m3: smaller differences
are noise."""


@dataclass(frozen=True)
class Scale:
    """The scale of the samples of a batch: ``(reading - offset) / factor``.

    Parameters
    ----------
    offset, factor : Tensor, shape (B or 1, H * W or 1)
        In the unit of the readings; one for each sample or for all, one for each cell or for all.
    cells : Tensor of int64, shape (S,)
        The cells of the stations.
    """

    offset: Tensor
    factor: Tensor
    cells: Tensor

    def scale(self, readings: Tensor) -> Tensor:
        """Scale readings, (B, S); or (B, T, S) if there is one scale for all samples."""
        at = self.cells if self.offset.shape[1] > 1 else slice(None)
        return (readings - self.offset[:, at]) / self.factor[:, at]

    def unscale(self, field: Tensor) -> Tensor:
        """Return a field, (B, 1, H, W), in the unit of the readings."""
        flat = field.flatten(2) * self.factor[:, None] + self.offset[:, None]
        return flat.view_as(field)


class Encoding(ABC):
    """The encoding of a city as input of the networks of one design.

    Parameters
    ----------
    fold : Fold
        What may be known of the city.
    scaler : Scaler
        Fitted to the training part.
    device : torch.device
        The device of the networks.

    Attributes
    ----------
    normals : Tensor, shape (2, H * W), or None
        Mean and standard deviation of the readings that are standardized by station, for each cell.
    """

    normals: Tensor | None

    def __init__(self, fold: Fold, scaler: Scaler, device: torch.device) -> None:
        self.fold = fold
        self.windows = fold.windows
        self.scaler = scaler
        self.device = device
        self.cells = torch.tensor(self.windows.city.cells, device=device)

    @abstractmethod
    def encode(self, times: IntArray, hidden: BoolArray) -> tuple[Tensor, Scale]:
        """Return the input of a network, (B, T, C, H, W), and the scale of its output.

        Parameters
        ----------
        times : array of int64, shape (B,)
            The predicted times.
        hidden : array of bool, shape (B, S)
            Which of the stations of the fold the network does not see.
        """


class Published(Encoding):
    """One channel: the scaled readings; missing ones are filled by IDW.

    Parameters
    ----------
    fold, scaler, device
        As for `Encoding`.
    by_station : bool
        Standardize the readings of a station by its own mean and standard deviation instead.
        Default False.
    normals : Tensor, shape (2, H * W), optional
        These means and standard deviations. Default: those over the training part.
    """

    def __init__(
        self,
        fold: Fold,
        scaler: Scaler,
        device: torch.device,
        by_station: bool = False,
        normals: Tensor | None = None,
    ) -> None:
        super().__init__(fold, scaler, device)
        self.normals = self._of_stations() if by_station and normals is None else normals
        self.scale = self._of_all() if self.normals is None else self._by(self.normals)

    def encode(self, times: IntArray, hidden: BoolArray) -> tuple[Tensor, Scale]:
        """Return the readings on the grid, (B, T, 1, H, W), and the scale."""
        inputs = torch.from_numpy(self.windows.inputs(times, hidden)).to(self.device)
        return to_grid(self.scale.scale(inputs), self.windows.city), self.scale

    def _of_all(self) -> Scale:
        low, high = self.scaler.minimum, self.scaler.maximum
        offset, factor = torch.tensor([[[low]], [[high - low]]], device=self.device)
        return Scale(offset, factor, self.cells)

    def _by(self, normals: Tensor) -> Scale:
        return Scale(normals[:1], normals[1:], self.cells)

    def _of_stations(self) -> Tensor:
        """Return the normals of the stations; cells without a station have the mean of all."""
        readings = self.windows.city.values[self.windows.parts["train"]]
        known = torch.tensor(readings, device=self.device)  # (times, S)
        mean = known.nanmean(0)
        std = (known - mean).square().nanmean(0).sqrt().clamp(min=MIN_STD)
        both = torch.stack([mean, std])
        both = torch.where(both.isnan(), both.nanmean(1, keepdim=True), both)  # (2, S)
        H, W = self.windows.city.grid
        of_cells = both.mean(1, keepdim=True).repeat(1, H * W)
        of_cells[:, self.cells] = both
        return of_cells


def to_grid(stations: Tensor, city: CityData) -> Tensor:
    """Put the values of stations into their cells.

    Parameters
    ----------
    stations : Tensor, shape (B, T, S)
        Scaled; NaN = unknown.
    city : CityData
        Gives the cells and the grid.

    Returns
    -------
    Tensor, shape (B, T, 1, H, W)
        On the same device; 0 where nothing is known, as in the cells without a station.
    """
    B, T, _ = stations.shape
    grid = stations.new_zeros(B, T, city.grid[0] * city.grid[1])
    grid[..., torch.tensor(city.cells, device=stations.device)] = stations.nan_to_num(0.0)
    return grid.view(B, T, 1, *city.grid)
