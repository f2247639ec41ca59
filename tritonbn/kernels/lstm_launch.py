"""Launch the kernels of an LSTM step."""

from typing import Any

import torch
import triton.language as tl
from torch import Tensor
from triton import cdiv

from tritonbn.kernels import lstm
from tritonbn.kernels.launch import on_device_of

BLOCK, WARPS = 1024, 4
"""Positions of the state per program, and its warps: eight positions per thread."""


def forward(
    inputs: Tensor,
    recurrent: Tensor | None,
    former: Tensor | None,
    activated: Tensor,
    cell: Tensor,
    hidden: Tensor,
) -> None:
    """Write the activated gates (outer, gates, inner), the cell and the hidden state.

    Parameters
    ----------
    inputs : Tensor, shape (outer, gates, inner)
        The gates before their activation, or the part of them that comes from the input.
    recurrent : Tensor, shape of `inputs`, or None
        The other part.
    former : Tensor, shape (outer, inner), or None
        The former cell state.
    activated : Tensor, shape of `inputs`
    cell, hidden : Tensor, shape (outer, inner)
    """
    _launch(lstm.lstm_forward, cell, inputs, recurrent, former, activated, cell, hidden)


def backward(
    activated: Tensor,
    former: Tensor | None,
    cell: Tensor,
    dhidden: Tensor,
    dcell: Tensor | None,
    dgates: Tensor,
    dformer: Tensor | None,
) -> None:
    """Write `dgates` (outer, gates, inner) and `dformer` (outer, inner), for `forward`'s results.

    Without `dcell`, which has the shape of `cell`, the gradient of the cell state is zero.
    """
    _launch(lstm.lstm_backward, cell, activated, former, cell, dhidden, dcell, dgates, dformer)


def _launch(kernel: Any, state: Tensor, *tensors: Tensor | None) -> None:
    with on_device_of(state):
        kernel[(cdiv(state.numel(), BLOCK),)](
            *tensors,
            state.numel(),
            INNER=state.shape[1],
            COMPUTE=tl.float64 if state.dtype == torch.float64 else tl.float32,
            BLOCK=BLOCK,
            num_warps=WARPS,
        )
