"""Local batch normalization: statistics per segment of a grid, such as per measuring station."""

from tritonbn.convert import convert_batchnorm, revert_batchnorm
from tritonbn.module import LocalBN
from tritonbn.ops import local_batch_norm
from tritonbn.segments import Segments

__all__ = ["LocalBN", "Segments", "convert_batchnorm", "local_batch_norm", "revert_batchnorm"]

__version__ = "0.2.0"
