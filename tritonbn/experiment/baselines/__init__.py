"""The classical methods that estimate a hidden station, as baselines for the networks.

Some need scikit-learn or GSTools (``pip install 'tritonbn[baselines]'``), which are imported only
when such a baseline is used.
"""

from tritonbn.experiment.baselines.baseline import Baseline
from tritonbn.experiment.baselines.evaluate import baselines_of, evaluate_baseline
from tritonbn.experiment.baselines.registry import BASELINES
from tritonbn.experiment.baselines.training import Training

__all__ = ["BASELINES", "Baseline", "Training", "baselines_of", "evaluate_baseline"]
