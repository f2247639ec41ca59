"""In which types local batch normalization computes."""

import torch
from torch import Tensor


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type of everything that is as large as x: float32, or float64 for float64."""
    return torch.promote_types(x.dtype, torch.float32)


def wide_dtype(x: Tensor) -> torch.dtype:
    """Return the type of statistics and coefficients: float64, but float32 on MPS."""
    return torch.float32 if x.device.type == "mps" else torch.float64
