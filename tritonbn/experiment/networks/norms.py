"""`NORMS`: one record for each normalization that the experiment compares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from data_prep.city import CityData
from tritonbn.experiment.networks.levels import of_places, of_places_and_clusters
from tritonbn.experiment.task.windows import Windows
from tritonbn.models.norm import Norm
from tritonbn.module import LocalBN
from tritonbn.segments import Segments


@dataclass(frozen=True)
class Normalization:
    """A normalization, or a control without one.

    Parameters
    ----------
    title : str
        The title in figures.
    color : str
        The colour of its curves.
    layer : str or callable
        What `tritonbn.models.build_model` takes as `norm`: a name, or a function from the number of
        channels to a module. Default ``"none"``.
    segments : callable, optional
        Returns the segments of the layer for a city. Default: one segment per cell.
    levels : callable, optional
        Returns levels of segments, from fine to coarse, for what a training may know of a city; the
        layer is then `LocalBN` with `RunConfig.pooling`. Default: none.
    options : callable, optional
        Returns further arguments of `build_model` for a grid, (H, W). Default: none.
    by_station : bool
        Whether the readings of a station are standardized by its own mean and standard deviation
        before the network reads them. Default False.
    backbones : tuple of str, optional
        The backbones that it works with. Default: all.
    clusters : bool
        Whether its levels have clusters, which need scikit-learn. Default False.
    recurrent : bool
        Whether it normalizes inside the recurrence, too: then a network sees several times, and
        does not use symmetries. Default False.
    """

    title: str
    color: str
    layer: Norm = "none"
    segments: Callable[[CityData], Segments] | None = None
    levels: Callable[[Windows], list[Segments]] | None = None
    options: Callable[[tuple[int, int]], Mapping[str, Any]] = field(default=lambda grid: {})
    by_station: bool = False
    backbones: tuple[str, ...] | None = None
    clusters: bool = False
    recurrent: bool = False

    @property
    def local(self) -> bool:
        """Whether it is a form of local normalization."""
        return self.layer in ("local", "local-batch") or self.levels is not None

    def layer_for(self, windows: Windows, pooling: float) -> Norm:
        """Return the layer for a training, with `pooling` if it has several levels."""
        if self.levels is None:
            return self.layer
        return partial(LocalBN, segments=self.levels(windows), pooling=pooling)


NORMS = {
    "none": Normalization("no normalization", "#999999"),
    "global": Normalization("global normalization", "#E69F00", "global"),
    "local": Normalization("local normalization", "#0072B2", "local"),
    "local-nearest": Normalization(
        "local, by nearest station",
        "#56B4E9",
        "local",
        segments=lambda city: Segments.nearest(city.cells.tolist(), city.grid),
    ),
    "local-stations": Normalization(
        "local, stations and rest",
        "#009E73",
        "local",
        segments=lambda city: Segments.stations(city.cells.tolist(), city.grid),
    ),
    "local-after": Normalization(
        "local, after the activation",
        "#F0E442",
        "local",
        options=lambda grid: {"norm_after": True},
        backbones=("cnn", "cnn-lstm"),
    ),
    "local-batch": Normalization("local, batch statistics", "#332288", "local-batch"),
    "recurrent": Normalization(
        "local, in the recurrence too",
        "#5D3A00",
        "local",
        options=lambda grid: {"norm_recurrent": "local"},
        backbones=("convlstm",),
        recurrent=True,
    ),
    "pooled": Normalization(
        "local, drawn to stations and grid",
        "#882255",
        levels=of_places,
    ),
    "pooled-clusters": Normalization(
        "local, drawn to stations, clusters, grid",
        "#999933",
        levels=of_places_and_clusters,
        clusters=True,
    ),
    "offset": Normalization("gain and offset, no norm.", "#CC79A7", "offset"),
    "embedding": Normalization(
        "station embedding, no norm.",
        "#D55E00",
        options=lambda grid: {"embedding": grid},
        backbones=("cnn", "cnn-lstm"),
    ),
    "scaled": Normalization("station scaling, no norm.", "#000000", by_station=True),
}
"""The normalizations by name. Controls without one are ``"offset"``, ``"embedding"`` and
``"scaled"``. The colours are Okabe and Ito's palette, an indigo, a wine red, an olive and
a dark brown, which can be told apart with every kind of colour vision."""
