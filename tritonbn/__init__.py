"""Local batch normalization: statistics per segment of a grid, such as per measuring station.

`LocalBN` is the layer, `Segments` the partition of the grid, and `local_batch_norm` the function.
`convert_batchnorm`, `revert_batchnorm` and `convert_sync_localbn` change the layers of an existing
model.
"""

from tritonbn.convert import convert_batchnorm, convert_sync_localbn, revert_batchnorm
from tritonbn.module import LocalBN
from tritonbn.ops import local_batch_norm
from tritonbn.segments import Segments

__all__ = [
    "LocalBN",
    "Segments",
    "convert_batchnorm",
    "convert_sync_localbn",
    "local_batch_norm",
    "revert_batchnorm",
]

__version__ = "0.2.0"
