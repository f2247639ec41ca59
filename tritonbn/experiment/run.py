"""`Run`: a trained network of the experiment, with its scores, estimates, maps and figures."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from data_prep.city import CityData, DataError
from tritonbn.experiment.baselines import evaluate_baseline
from tritonbn.experiment.figures.field import draw_field
from tritonbn.experiment.figures.interactive import make_map
from tritonbn.experiment.figures.style import Figure
from tritonbn.experiment.figures.training import draw_training
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.folds import evaluate_networks, history_of
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.trained import TrainedNetwork
from tritonbn.experiment.task.arrays import BoolArray
from tritonbn.experiment.task.lookup import (
    find_station,
    find_time,
    require_reading,
    typical_time,
)
from tritonbn.experiment.task.parts import TESTED_PARTS, Part
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.record import COLUMNS, REFERENCE, Record
from tritonbn.experiment.views import heatmap, interpolate
from tritonbn.models import InterpolationNetwork

if TYPE_CHECKING:
    import ipyleaflet


class Run:
    """A trained network, returned by `train` and `load_run`.

    Under the protocol ``"unseen"`` a run has one network for each fold of the stations; otherwise
    it has a single one.

    Parameters
    ----------
    city : CityData
        The city that it was trained on.
    config : RunConfig
        How it was trained.
    networks : sequence of TrainedNetwork
        One for each fold.
    record : Record, optional
        What was estimated before. Default: it is estimated when it is needed.
    reference : Record, optional
        What IDW estimated before, for the skill. Default: it is estimated when it is needed.

    Examples
    --------
    >>> from data_prep import load_city
    >>> from tritonbn.experiment import train
    >>> city = load_city("synthetic", days=7, grid=(8, 8))
    >>> run = train(city, "cnn", steps=2, test_times=40, progress=False)
    >>> run
    Run(cnn-dense-local-paper-0, Antwerp (synthetic), 2 steps)
    >>> run.scores()[["model", "norm", "stations"]]
           model   norm  stations
    0  cnn-dense  local        31
    >>> run.field(str(city.times[-1])).sizes
    Frozen({'latitude': 8, 'longitude': 8})
    """

    def __init__(
        self,
        city: CityData,
        config: RunConfig,
        networks: Sequence[TrainedNetwork],
        *,
        record: Record | None = None,
        reference: Record | None = None,
    ) -> None:
        self.city = city
        self.config = config
        self.networks = tuple(networks)
        if record is not None:
            self.record = record
        if reference is not None:
            self._idw = reference

    def __repr__(self) -> str:
        steps = sum(network.steps for network in self.networks)
        return f"Run({self.config.name}, {self.city.name}, {steps} steps)"

    @property
    def model(self) -> InterpolationNetwork:
        """The trained `torch.nn.Module`.

        Raises
        ------
        DataError
            If the run has one network for each fold; use `networks`.
        """
        return self._single().model

    def scores(self) -> pd.DataFrame:
        """Return the scores of the test as a table with one row.

        Returns
        -------
        DataFrame
            ``protocol``, ``model``, ``norm`` and ``seed``. In the unit of the readings: ``sprmse``
            and ``spmae`` (RMSE and mean absolute error of each station over time, averaged over the
            stations), ``mean_reading``, ``time_rmse`` (RMSE over the stations, averaged over time),
            ``bias``, and ``validation_sprmse`` (the spRMSE of the validation part, to choose models
            by).
            ``stations`` (how many are scored), ``r2``, ``skill`` (1 - MSE / MSE of IDW),
            ``steps``, ``seconds`` and ``device`` of the training.

        Raises
        ------
        DataError
            If too few readings are scored.
        """
        return pd.DataFrame([self.row()], columns=COLUMNS)

    def row(self) -> dict[str, Any]:
        """Return the row of `scores`."""
        return self.record.scores(self.city, self.reference.estimates["test"])

    def stations(self) -> pd.DataFrame:
        """Return the scores of each station.

        Returns
        -------
        DataFrame
            One row per station: the first four columns of `scores`, ``station``, ``cell``,
            ``readings`` (number of scored ones), ``mean_reading``, ``rmse``, ``mae`` and ``bias``.
        """
        return self.record.stations(self.city)

    def estimates(self, part: Part = "test") -> pd.DataFrame:
        """Return the estimates of readings while their station is hidden or held out.

        Parameters
        ----------
        part : {"test", "validation"}
            Default ``"test"``.

        Returns
        -------
        DataFrame
            One row per scored reading: ``time``, ``station``, ``reading`` and ``estimate``.

        Raises
        ------
        ValueError
            If there is no such part.
        """
        if part not in TESTED_PARTS:
            raise ValueError(f"part must be one of {', '.join(TESTED_PARTS)}, got {part!r}")
        return self.record.estimates[part]

    def history(self) -> pd.DataFrame:
        """Return one row per validation during training.

        Returns
        -------
        DataFrame
            ``norm``, ``seed``, ``fold``, ``step``, ``loss`` (mean since the previous validation)
            and ``stopping_sprmse`` (in the unit of the readings, of stations that take part in
            training).
        """
        key = {"norm": self.config.norm, "seed": self.config.seed}
        columns = [*key, "fold", "step", "loss", "stopping_sprmse"]
        return pd.DataFrame([key | entry for entry in history_of(self.networks)], columns=columns)

    def training_curve(self, ax: Any = None) -> Figure:
        """Draw the validation spRMSE over the training steps.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw. Default: a new figure.
        """
        colors = {name: norm.color for name, norm in NORMS.items()}
        return draw_training(self.history(), self.city, colors, ax)

    def heatmap(self, station: str | int | None = None, time: str | None = None) -> Figure:
        """Draw the readings of one time, and the field estimated with one station hidden.

        Parameters
        ----------
        station : str or int, optional
            The hidden station: its name, or the number of its cell. Default: cell 621 if a station
            stands there, else the station with the most readings.
        time : str, optional
            ISO 8601, as in `city.times`. Default: a time of the test at which the station has its
            median reading.

        Raises
        ------
        DataError
            If there is no such station or time, the station has no reading then, or training used
            the station where it must be held out.
        """
        row = self.hidden_station(station)
        network = self.network_for(row)
        if time is None:
            index = typical_time(network.config.fold_of(self.city), row)
        else:
            index = find_time(self.city, time)
            require_reading(self.city, index, row)
        return heatmap([network], self.city, index, row)

    def field(self, time: str) -> xr.DataArray:
        """Estimate the whole city at one time from the readings of all stations.

        Parameters
        ----------
        time : str
            ISO 8601, as in `city.times`.

        Returns
        -------
        DataArray
            Of shape (H, W), over latitude and longitude (the centres of the cells, in degrees,
            inferred from the stations of the city; see `CityData.select`), in the unit of the
            readings. The cells of stations that have a reading hold the reading, unless the next
            time is predicted (protocol ``"paper"``). The scalar coordinate ``crs`` holds the
            reference system, WGS 84, as the CF conventions have it; rioxarray reads it.

        Raises
        ------
        DataError
            If there is no such time, no reading to estimate it from, or one network per fold.
        """
        return self._field(find_time(self.city, time))

    def map(self, time: str) -> Figure:
        """Draw the field of `field`, whose argument and errors are the same, and the readings."""
        index = find_time(self.city, time)
        return draw_field(self.city, index, self._field(index).to_numpy(), self._held_out())

    def interactive_map(self, time: str) -> "ipyleaflet.Map":
        """Make a map of the field of `field` to move and zoom in a notebook with a running kernel.

        A click on a station shows its reading. Lines of latitude and longitude are in place of a
        base map, so no network is needed.

        Parameters
        ----------
        time : str
            ISO 8601, as in `city.times`.

        Returns
        -------
        ipyleaflet.Map

        Raises
        ------
        DataError
            If ipyleaflet is not installed (``pip install 'tritonbn[maps]'``), and see `field`.

        Examples
        --------
        >>> from data_prep import load_city
        >>> from tritonbn.experiment import train
        >>> city = load_city("synthetic", days=7, grid=(8, 8))
        >>> run = train(city, "cnn", steps=2, test_times=40, progress=False)
        >>> type(run.interactive_map(str(city.times[-1])))
        <class 'ipyleaflet.leaflet.Map'>
        """
        index = find_time(self.city, time)
        return make_map(self.city, index, self._field(index).to_numpy(), self._held_out())

    def hidden_station(self, station: str | int | None = None) -> int:
        """Return the row of the station that `heatmap` hides; the argument is that of `heatmap`."""
        row = find_station(self.city, station)
        held_out = self._held_out()
        if station is None and held_out.any() and not held_out[row]:
            return int((self.city.observed.sum(axis=0) * held_out).argmax())
        return row

    def network_for(self, station: int) -> TrainedNetwork:
        """Return the network that estimates a station, given by its row in `city.stations`.

        Raises
        ------
        DataError
            If the networks of this run were all trained with the station where it must be held out.
        """
        if PROTOCOLS[self.config.protocol].folds == 1:
            return self.networks[0]
        for network in self.networks:
            if network.config.fold_of(self.city).held_out[station]:
                return network
        names = self.city.stations["station"]
        raise DataError(
            f"training used station {names.iloc[station]}; the stations that were held out are "
            f"{', '.join(names[self._held_out()])}"
        )

    @cached_property
    def record(self) -> Record:
        """The estimates of validation and test, made when they are first needed."""
        return evaluate_networks(self.city, self.config, self.networks)

    @property
    def reference(self) -> Record:
        """The estimates of IDW for the same stations, from which the skill is computed."""
        scored = self.record.estimates["test"]["station"]
        estimates = {
            part: table[table["station"].isin(scored)]
            for part, table in self._idw.estimates.items()
        }
        return replace(self._idw, estimates=estimates)

    @cached_property
    def _idw(self) -> Record:
        config = self.config
        return evaluate_baseline(
            REFERENCE, self.city, config.protocol, config.test_times, config.parts
        )

    def _field(self, time: int) -> xr.DataArray:
        """Return the field of the time with this index."""
        return interpolate([self._single()], self.city, np.array([time]))["field"].isel(time=0)

    def _held_out(self) -> BoolArray:
        """Return the stations that were held out from at least one network, (S,)."""
        masks = [network.config.fold_of(self.city).held_out for network in self.networks]
        return np.asarray(np.any(masks, axis=0))

    def _single(self) -> TrainedNetwork:
        if len(self.networks) > 1:
            raise DataError(
                f"{self.config.name} has {len(self.networks)} networks, one for each fold of the "
                "stations; choose one of run.networks, or load the folder of one fold"
            )
        return self.networks[0]
