"""The experiment: train and compare interpolation networks on hidden PM2.5 stations.

>>> from data_prep import load_city
>>> from tritonbn.experiment import train
>>> run = train(load_city("synthetic"), "cnn", norm="local", protocol="masked")  # doctest: +SKIP
>>> run.scores()  # doctest: +SKIP
"""

from tritonbn.experiment.api import compare, load_run, train
from tritonbn.experiment.networks.checkpoint import CheckpointError
from tritonbn.experiment.networks.config import ConfigError, RunConfig
from tritonbn.experiment.run import Run

__all__ = ["CheckpointError", "ConfigError", "Run", "RunConfig", "compare", "load_run", "train"]
