"""All baselines by name."""

from tritonbn.experiment.baselines.baseline import Baseline
from tritonbn.experiment.baselines.boosting import Boosting
from tritonbn.experiment.baselines.gaussian_process import GaussianProcess
from tritonbn.experiment.baselines.inverse_distance import InverseDistance, OffsetInverseDistance
from tritonbn.experiment.baselines.kriging import OrdinaryKriging
from tritonbn.experiment.baselines.ridge import Ridge
from tritonbn.experiment.baselines.simple import MeanOfOthers, Nearest, OwnMean

BASELINES: dict[str, type[Baseline]] = {
    "mean-own": OwnMean,
    "mean": MeanOfOthers,
    "nearest": Nearest,
    "idw": InverseDistance,
    "idw-offset": OffsetInverseDistance,
    "kriging": OrdinaryKriging,
    "gp": GaussianProcess,
    "ridge": Ridge,
    "boosting": Boosting,
}
"""In the order of the tables."""
