"""Local batch normalization: statistics per segment of a grid, such as per measuring station.

`LocalBN` is the layer, `Segments` the partition of the grid, `local_batch_norm` the function, and
`convert_batchnorm` and `revert_batchnorm` change the layers of an existing model.
"""

from tritonbn.convert import convert_batchnorm, revert_batchnorm
from tritonbn.module import LocalBN
from tritonbn.ops import local_batch_norm
from tritonbn.segments import Segments

__all__ = ["LocalBN", "Segments", "convert_batchnorm", "local_batch_norm", "revert_batchnorm"]

__version__ = "0.2.0"
