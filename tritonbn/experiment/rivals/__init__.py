"""The classical estimators of a hidden station, against which the networks are compared.

`RIVALS` names them as the command line does. Some need scikit-learn or GSTools
(``pip install 'tritonbn[rivals]'``), which is asked for when such a rival is made.
"""

from tritonbn.experiment.rivals.boosting import Boosting
from tritonbn.experiment.rivals.inverse_distance import InverseDistance, OffsetInverseDistance
from tritonbn.experiment.rivals.kriging import OrdinaryKriging
from tritonbn.experiment.rivals.process import GaussianProcess
from tritonbn.experiment.rivals.regression import Ridge
from tritonbn.experiment.rivals.rival import Rival
from tritonbn.experiment.rivals.simple import MeanOfOthers, Nearest, OwnMean
from tritonbn.experiment.rivals.training import Training

__all__ = ["RIVALS", "Rival", "Training"]

RIVALS: dict[str, type[Rival]] = {
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
