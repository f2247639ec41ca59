"""What trained networks show of a city: heatmaps with one station hidden, and fields."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from data_prep.city import CityData, DataError
from tritonbn.experiment.figures.heatmap import draw_heatmap
from tritonbn.experiment.figures.style import Figure, label
from tritonbn.experiment.maps import field_dataset
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.predict import predict_field, predict_fields
from tritonbn.experiment.networks.trained import TrainedNetwork
from tritonbn.experiment.task.arrays import FloatArray, IntArray
from tritonbn.experiment.task.protocol import PROTOCOLS


def heatmap(networks: Sequence[TrainedNetwork], city: CityData, time: int, station: int) -> Figure:
    """Draw the readings of one time, and the fields that networks estimate with a station hidden.

    Parameters
    ----------
    networks : sequence of TrainedNetwork
        Of one model and one protocol, one for each norm; none of them trained with the station
        where it must be held out.
    city : CityData
        The city that they were trained on.
    time, station : int
        Index of the time, and row of the hidden station in `city.stations`.

    Raises
    ------
    DataError
        If there is no such time, or no reading of another station to estimate it from.
    """
    config = networks[0].config
    fields = {
        NORMS[network.config.norm].title: predict_field(network, city, time, station)
        for network in networks
    }
    if any(np.isnan(field).all() for field in fields.values()):
        raise DataError(
            f"no other station of {city.name} has a reading from which station "
            f"{city.stations['station'].iloc[station]} could be estimated at {city.times[time]}"
        )
    subtitle = f"{config.network.title}, protocol {config.protocol}"
    return draw_heatmap(city, time, station, fields, config.fold_of(city).held_out, subtitle)


def interpolate(networks: Sequence[TrainedNetwork], city: CityData, times: IntArray) -> xr.Dataset:
    """Estimate the whole city from the readings of all stations that the networks know.

    Parameters
    ----------
    networks : sequence of TrainedNetwork
        If several are given, such as those of all seeds, their mean is used.
    city : CityData
        The readings.
    times : array of int64, shape (T,)
        Indices of `city.times`.

    Returns
    -------
    Dataset
        See `field_dataset`.

    Raises
    ------
    DataError
        If there is no reading to estimate one of the times from, or the networks know different
        stations, or have different protocols.
    """
    protocols = sorted({network.config.protocol for network in networks})
    if len(protocols) > 1:
        raise DataError(
            f"a field is the mean of networks of one protocol, got {' and '.join(protocols)}"
        )
    known, *others = (
        network.config.fold_of(city).windows.city.stations["station"] for network in networks
    )
    if any(not other.equals(known) for other in others):
        raise DataError(
            "a field is the mean of networks that know the same stations; choose several seeds of "
            "one fold"
        )
    fields = [predict_fields(network, city, times, hidden=None) for network in networks]
    names = ", ".join(_name(network.config) for network in networks)
    title = f"{label(city)}, interpolated by {names}"
    return field_dataset(city, times, np.mean(fields, axis=0), title, known.to_list())


def estimate_hidden(
    networks: Sequence[TrainedNetwork], city: CityData, times: IntArray
) -> FloatArray:
    """Estimate each station while it is hidden, as the mean of networks.

    The parameters are those of `interpolate`.

    Returns
    -------
    array of float32, shape (T, S)
        In the unit of the readings; NaN where no other station has a reading to estimate from.
    """
    columns = []
    for station, cell in enumerate(city.cells):
        fields = [predict_fields(network, city, times, station) for network in networks]
        columns.append(np.mean(fields, axis=0).reshape(len(times), -1)[:, cell])
    return np.stack(columns, axis=1)


def _name(config: RunConfig) -> str:
    fold = f" (fold {config.fold})" if PROTOCOLS[config.protocol].folds > 1 else ""
    return config.name + fold
