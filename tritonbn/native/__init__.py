"""The fast backend without Triton: local batch normalization with PyTorch and NumPy.

Forward and backward have three stages each. Only the second one, which is small, depends on the
segments. (`tritonbn.tensors` explains rows and columns.)

1. Reduce the rows to statistics per column (`columns`).
2. Merge the columns of each segment (`layout`), and derive `coefficients` of each column, in
   float64 (float32 on MPS, which does not support float64); on a CPU with NumPy (`arithmetic`).
3. Apply the coefficients to the rows (`passes`).

On a CPU, each operation on a large tensor is divided among the threads and waits for the slowest of
them, which takes long if other programs use the cores. There are therefore as few of these
operations as possible, and stage 1 uses PyTorch's own kernels for batch normalization, with one
feature per column.
"""

from tritonbn.native.passes import backward, forward, merge, spread, statistics

__all__ = ["backward", "forward", "merge", "spread", "statistics"]
