"""What residual networks read: channels that describe the surroundings of each cell."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tritonbn.experiment.networks.encoding import MIN_STD, Encoding, Scale
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.task.arrays import BoolArray, IntArray
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.geography import cell_distances_km

OF_CELLS = (
    "reading", "visible", "idw", "idw weight", "idw far", "idw near", "idw std",
    "nearest", "nearest distance",
)  # fmt: skip
OF_ALL = ("mean", "std", "share", "day sin", "day cos", "half-day sin", "half-day cos")
CHANNELS = OF_CELLS + OF_ALL
"""What a residual network reads of each time; the second group has the same value in all cells."""

PRIOR_READINGS = 24
"""Draws the mean and standard deviation of a station with few readings towards those of all."""

LIMIT = 2.5
"""Readings are limited to this many standard deviations from the mean, so that one outlier does not
dominate the field around it. With seven readings or fewer no reading can be so far away."""

BLANK = {
    "idw": OF_CELLS[2:],
    "surroundings": OF_CELLS[4:],
    "observed": ("visible", "idw weight", "nearest distance"),
    "hour": ("day sin", "day cos", "half-day sin", "half-day cos"),
}
"""The channels that are zero in a network without an option."""


class ResidualEncoding(Encoding):
    """The `CHANNELS`, standardized by the visible readings of the last time.

    Mean and standard deviation are those of each sample, so that what a network learns holds at
    every level of pollution.

    Parameters
    ----------
    fold, scaler, device
        As for `Encoding`.
    without : sequence of str
        Which of `OPTIONS` the network is trained without. Default: nothing.
    by_station : bool
        Standardize the readings of a station by its own mean and standard deviation as well.
        Default False.
    normals : Tensor, shape (2, H * W), optional
        These means and standard deviations. Default: those over the training part.
    """

    def __init__(
        self,
        fold: Fold,
        scaler: Scaler,
        device: torch.device,
        without: Sequence[str] = (),
        by_station: bool = False,
        normals: Tensor | None = None,
    ) -> None:
        super().__init__(fold, scaler, device)
        self.without = without
        blank = {name for option in without for name in BLANK.get(option, ())}
        self.blank = [CHANNELS.index(name) for name in CHANNELS if name in blank]
        distances = cell_distances_km(fold.city)[~fold.held_out]
        among = distances[:, fold.city.cells]
        typical = np.median(among[among > among.min()])  # kilometres between two stations
        near = np.maximum(distances / typical, 0.05)
        self.distances = torch.tensor(near, dtype=torch.float32, device=device)  # (S, H W)
        self.weights = {power: self.distances**-power for power in (1, 2, 4)}
        self.normals = self._normals() if by_station and normals is None else normals

    def encode(self, times: IntArray, hidden: BoolArray) -> tuple[Tensor, Scale]:
        """Return the `CHANNELS`, (B, T, C, H, W), and the scale."""
        readings = self.windows.readings(times)  # (B, T, S)
        readings[np.broadcast_to(hidden[:, None], readings.shape)] = np.nan
        known = torch.from_numpy(readings).to(self.device)
        visible = ~known.isnan()
        of_sample = self._scale(known[:, -1])
        scale = of_sample
        if self.normals is not None:
            mean, std = self.normals  # (H W,)
            scale = Scale(
                of_sample.offset + mean * of_sample.factor, std * of_sample.factor, self.cells
            )
        z = torch.stack([scale.scale(of_time) for of_time in known.unbind(1)], 1)
        if "limit" not in self.without:
            z = z.clamp(-LIMIT, LIMIT)
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
        std = (idw(z.square(), 2) - mean.square()).clamp(min=0).sqrt()
        weight = (there @ self.weights[2]).clamp(min=1e-3).log() / 2
        distance, nearest = self._nearest(z, visible)
        return torch.stack(
            [
                *cells,
                mean,
                weight,
                idw(z, 1),
                idw(z, 4),
                std,
                nearest,
                distance.clamp(max=10).log(),
            ],
            dim=2,
        )

    def _nearest(self, z: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return distance and scaled reading, (B, T, H W), of the nearest visible station.

        One station at a time, since the distances of all would need too much memory.
        """
        shape = (*z.shape[:2], self.distances.shape[1])
        distance, nearest = z.new_full(shape, torch.inf), z.new_zeros(shape)
        for s, of_station in enumerate(self.distances):
            nearer = visible[..., s, None] & (of_station < distance)
            distance = torch.where(nearer, of_station, distance)
            nearest = torch.where(nearer, z[..., s, None], nearest)
        return distance, nearest

    def _scale(self, known: Tensor) -> Scale:
        """Return mean and standard deviation over the stations that are not NaN, (B, S)."""
        if "scaling" in self.without:
            half = torch.full_like(known[:, :1], (self.scaler.maximum - self.scaler.minimum) / 2)
            return Scale(self.scaler.minimum + half, half, self.cells)
        count = (~known.isnan()).sum(1, keepdim=True)  # 0 gives NaN, which is no target
        mean = known.nansum(1, keepdim=True) / count
        std = ((known - mean).square().nansum(1, keepdim=True) / count).sqrt()
        return Scale(mean, std.clamp(min=MIN_STD), self.cells)

    def _normals(self) -> Tensor:
        """Return mean and standard deviation of each cell, (2, H W), over the training part.

        They are those of the scaled readings of its station, with `PRIOR_READINGS` additional
        readings of mean 0 and standard deviation 1; `to_cells` gives those of the other cells.
        """
        readings = self.windows.readings(self.windows.times("train"))[:, -1]
        known = torch.from_numpy(readings).to(self.device)  # (times, S)
        z = torch.empty_like(known)
        for s in range(known.shape[1]):  # scaled as if the station were hidden
            others = known.clone()
            others[:, s] = torch.nan
            z[:, s] = self._scale(others).scale(known)[:, s]
        count = (~z.isnan()).sum(0)
        total = count + PRIOR_READINGS
        mean = z.nansum(0) / total
        std = (((z - mean).square().nansum(0) + PRIOR_READINGS) / total).sqrt()
        return self.to_cells(torch.stack([mean, std]))

    def to_cells(self, values: Tensor) -> Tensor:
        """Extend values of the stations, (K, S), to all cells, (K, H W), by IDW."""
        weights = self.weights[2]
        of_cells = values @ weights / weights.sum(0)
        of_cells[:, self.cells] = values
        return of_cells

    def _of_all(self, times: IntArray, visible: Tensor, scale: Scale) -> Tensor:
        """Return the channels `OF_ALL`, (B, 7)."""
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
