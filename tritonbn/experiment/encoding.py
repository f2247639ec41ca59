"""From readings to what a network reads, and from what it writes to the unit of the readings."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tritonbn.experiment.dataset import BoolArray, IntArray, Scaler, to_grid
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.geography import cell_distances_km

OF_CELLS = (
    "reading", "visible", "idw", "idw weight", "idw far", "idw near", "idw spread",
    "nearest", "nearest distance",
)  # fmt: skip
OF_ALL = ("mean", "spread", "share", "day sin", "day cos", "half-day sin", "half-day cos")
CHANNELS = OF_CELLS + OF_ALL
"""What a wide network reads of each time; the second group is the same in all cells."""

NARROWEST_SPREAD = 2.0
"""ug/m3; where the visible readings differ by less, they are noise to be left small."""

PRIOR_READINGS = 24
"""With which a station of few readings is drawn to the middle of all."""

FURTHEST = 2.5
"""Spreads from the mean; readings beyond are taken to be there, so that one outlier does not draw
the field around it. Of seven readings or fewer none is ever so far."""

BLANK = {
    "idw": OF_CELLS[2:],
    "surroundings": OF_CELLS[4:],
    "observed": ("visible", "idw weight", "nearest distance"),
    "hour": ("day sin", "day cos", "half-day sin", "half-day cos"),
}
"""The channels that are zero in a network that lacks something."""


@dataclass(frozen=True)
class Scale:
    """How the samples of a batch are scaled: ``(reading - offset) / factor``.

    Parameters
    ----------
    offset, factor : Tensor, shape (B or 1, H * W or 1)
        In the unit of the readings: of each sample or of all, of each cell or of all.
    cells : Tensor of int64, shape (S,)
        Where the stations are.
    """

    offset: Tensor
    factor: Tensor
    cells: Tensor

    def scale(self, readings: Tensor) -> Tensor:
        """From the unit of the readings, (B, S), or (B, T, S) with one scale for all samples."""
        at = self.cells if self.offset.shape[1] > 1 else slice(None)
        return (readings - self.offset[:, at]) / self.factor[:, at]

    def unscale(self, field: Tensor) -> Tensor:
        """To the unit of the readings, (B, 1, H, W)."""
        flat = field.flatten(2) * self.factor[:, None] + self.offset[:, None]
        return flat.view_as(field)


class Encoding(ABC):
    """What the networks of one kind read.

    Parameters
    ----------
    fold : Fold
        The city, and what may be known of it.
    scaler : Scaler
        Fitted to the training part.
    device : torch.device
        Where the networks compute.
    """

    def __init__(self, fold: Fold, scaler: Scaler, device: torch.device) -> None:
        self.fold = fold
        self.windows = fold.windows
        self.scaler = scaler
        self.device = device
        self.cells = torch.tensor(self.windows.city.cells, device=device)

    @abstractmethod
    def encode(self, times: IntArray, hidden: BoolArray) -> tuple[Tensor, Scale]:
        """Return the input of a network, (B, T, C, H, W), and the scale of what it writes.

        Parameters
        ----------
        times : array of int64, shape (B,)
            The times to be predicted.
        hidden : array of bool, shape (B, S)
            Of the visible stations, those that the network does not see.
        """


class Published(Encoding):
    """One channel: the readings, missing ones filled by IDW, scaled by the scaler.

    Parameters
    ----------
    fold, scaler, device
        As of `Encoding`.
    by_station : bool
        Scale the readings of a station by its own mean and spread over the training part instead.
        Default False.
    """

    def __init__(
        self, fold: Fold, scaler: Scaler, device: torch.device, by_station: bool = False
    ) -> None:
        super().__init__(fold, scaler, device)
        self.scale = self._of_stations() if by_station else self._of_all()

    def encode(self, times: IntArray, hidden: BoolArray) -> tuple[Tensor, Scale]:
        """Return the readings on the grid, (B, T, 1, H, W), and the scale."""
        inputs = torch.from_numpy(self.windows.inputs(times, hidden)).to(self.device)
        return to_grid(self.scale.scale(inputs), self.windows.city), self.scale

    def _of_all(self) -> Scale:
        low, high = self.scaler.minimum, self.scaler.maximum
        offset, factor = torch.tensor([[[low]], [[high - low]]], device=self.device)
        return Scale(offset, factor, self.cells)

    def _of_stations(self) -> Scale:
        """Return the scale of each station; to cells without one, the mean of all."""
        readings = self.windows.city.values[self.windows.parts["train"]]
        known = torch.tensor(readings, device=self.device)  # (times, S)
        mean = known.nanmean(0)
        spread = (known - mean).square().nanmean(0).sqrt().clamp(min=NARROWEST_SPREAD)
        both = torch.stack([mean, spread])
        both = torch.where(both.isnan(), both.nanmean(1, keepdim=True), both)  # (2, S)
        H, W = self.windows.city.grid
        of_cells = both.mean(1, keepdim=True).repeat(1, H * W)
        of_cells[:, self.cells] = both
        return Scale(of_cells[:1], of_cells[1:], self.cells)


class Wide(Encoding):
    """The `CHANNELS`, scaled by the mean and spread of the visible readings of the last time.

    What a network learns so is the same at every level of pollution.

    Parameters
    ----------
    fold, scaler, device
        As of `Encoding`.
    lacks : str
        Which of `tritonbn.experiment.config.LACKING` the network is without. Default: nothing.
    by_station : bool
        Scale the readings of a station by its own mean and spread, too. Default False.
    """

    def __init__(
        self,
        fold: Fold,
        scaler: Scaler,
        device: torch.device,
        lacks: str = "",
        by_station: bool = False,
    ) -> None:
        super().__init__(fold, scaler, device)
        self.lacks = lacks
        self.blank = [CHANNELS.index(name) for name in BLANK.get(lacks, ())]
        distances = cell_distances_km(fold.city)[~fold.absent]
        among = distances[:, fold.city.cells]
        typical = np.median(among[among > among.min()])  # kilometres between two stations
        near = np.maximum(distances / typical, 0.05)
        self.distances = torch.tensor(near, dtype=torch.float32, device=device)  # (S, H W)
        self.weights = {power: self.distances**-power for power in (1, 2, 4)}
        self.normals = self._normals() if by_station else None

    def encode(self, times: IntArray, hidden: BoolArray) -> tuple[Tensor, Scale]:
        """Return the `CHANNELS`, (B, T, C, H, W), and the scale."""
        readings = self.windows.readings(times)  # (B, T, S)
        readings[np.broadcast_to(hidden[:, None], readings.shape)] = np.nan
        known = torch.from_numpy(readings).to(self.device)
        visible = ~known.isnan()
        of_sample = self._scale(known[:, -1])
        scale = of_sample
        if self.normals is not None:
            mean, spread = self.normals  # (H W,)
            scale = Scale(
                of_sample.offset + mean * of_sample.factor, spread * of_sample.factor, self.cells
            )
        z = torch.stack([scale.scale(of_time) for of_time in known.unbind(1)], 1)
        if self.lacks != "limit":
            z = z.clamp(-FURTHEST, FURTHEST)
        z = z.nan_to_num(0.0)
        B, T, _ = z.shape
        H, W = self.windows.city.grid
        grid = z.new_zeros(B, T, len(CHANNELS), H * W)
        grid[:, :, : len(OF_CELLS)] = self._of_cells(z, visible)
        grid[:, :, len(OF_CELLS) :] = self._of_all(times, visible, of_sample)[:, None, :, None]
        grid[:, :, self.blank] = 0
        return grid.view(B, T, len(CHANNELS), H, W), scale

    def _of_cells(self, z: Tensor, visible: Tensor) -> Tensor:
        """Return the channels `OF_CELLS`, (B, T, C, H W), of scaled readings, (B, T, S)."""
        there = visible.to(z.dtype)
        cells = z.new_zeros(2, *z.shape[:2], self.distances.shape[1])
        cells[..., self.cells] = torch.stack([z, there])

        def idw(values: Tensor, power: int) -> Tensor:
            weights = self.weights[power]
            return (values @ weights) / (there @ weights).clamp(min=1e-9)  # (B, T, H W)

        mean = idw(z, 2)
        spread = (idw(z.square(), 2) - mean.square()).clamp(min=0).sqrt()
        weight = (there @ self.weights[2]).clamp(min=1e-3).log() / 2
        distance, nearest = self._nearest(z, visible)
        return torch.stack(
            [
                *cells,
                mean,
                weight,
                idw(z, 1),
                idw(z, 4),
                spread,
                nearest,
                distance.clamp(max=10).log(),
            ],
            dim=2,
        )

    def _nearest(self, z: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return distance and scaled reading, (B, T, H W), of the nearest visible station.

        Station by station, as all distances at once would not fit where there are many.
        """
        shape = (*z.shape[:2], self.distances.shape[1])
        distance, nearest = z.new_full(shape, torch.inf), z.new_zeros(shape)
        for s, of_station in enumerate(self.distances):
            nearer = visible[..., s, None] & (of_station < distance)
            distance = torch.where(nearer, of_station, distance)
            nearest = torch.where(nearer, z[..., s, None], nearest)
        return distance, nearest

    def _scale(self, known: Tensor) -> Scale:
        """Take mean and spread over the stations that are not NaN, (B, S)."""
        if self.lacks == "scaling":
            half = torch.full_like(known[:, :1], (self.scaler.maximum - self.scaler.minimum) / 2)
            return Scale(self.scaler.minimum + half, half, self.cells)
        count = (~known.isnan()).sum(1, keepdim=True)  # without any, all of it is NaN: no target
        mean = known.nansum(1, keepdim=True) / count
        spread = ((known - mean).square().nansum(1, keepdim=True) / count).sqrt()
        return Scale(mean, spread.clamp(min=NARROWEST_SPREAD), self.cells)

    def _normals(self) -> tuple[Tensor, Tensor]:
        """Return mean and spread of each cell, (H W,), over the training part.

        Of the scaled readings of its station, as if `PRIOR_READINGS` more had had mean 0 and spread
        1; `spread` to the other cells.
        """
        readings = self.windows.readings(self.windows.times("train"))[:, -1]
        known = torch.from_numpy(readings).to(self.device)  # (times, S)
        z = torch.empty_like(known)
        for s in range(known.shape[1]):  # scaled as where the station is hidden
            others = known.clone()
            others[:, s] = torch.nan
            z[:, s] = self._scale(others).scale(known)[:, s]
        count = (~z.isnan()).sum(0)
        total = count + PRIOR_READINGS
        mean = z.nansum(0) / total
        spread = (((z - mean).square().nansum(0) + PRIOR_READINGS) / total).sqrt()
        of_cells = self.spread(torch.stack([mean, spread]))
        return of_cells[0], of_cells[1]

    def spread(self, values: Tensor) -> Tensor:
        """Return what stations have, (K, S), of all cells, (K, H W); where none stands, by IDW."""
        weights = self.weights[2]
        of_cells = values @ weights / weights.sum(0)
        of_cells[:, self.cells] = values
        return of_cells

    def _of_all(self, times: IntArray, visible: Tensor, scale: Scale) -> Tensor:
        """Return what is the same in all cells, (B, 7)."""
        day = np.timedelta64(1, "D")
        share = (self.windows.city.times[times] - np.datetime64(0, "s")) % day / day
        angle = torch.tensor(2 * np.pi * share, dtype=torch.float32, device=self.device)
        level = scale.offset[:, 0].clamp(min=1.0)
        return torch.stack(
            [
                (level / 20).log(),
                scale.factor[:, 0] / level.clamp(min=3.0),
                visible[:, -1].float().mean(1),
                *(f(k * angle) for k in (1, 2) for f in (torch.sin, torch.cos)),
            ],
            dim=1,
        ).nan_to_num(0.0)
