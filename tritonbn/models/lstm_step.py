"""The pointwise part of a convolutional LSTM: from the gates to cell and hidden state."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from tritonbn import backends, caller
from tritonbn.tensors import empty_like, in_layout, is_channels_last

Rows = Tensor
"""Contiguous gates (outer, gates, inner), or a state (outer, inner); see `_rows`."""


def lstm_step(
    inputs: Tensor, recurrent: Tensor | None = None, cell: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the next state from gates that are not activated yet.

    Parameters
    ----------
    inputs : Tensor, shape (N, 4 * hidden, H, W)
        The part of the gates that comes from the input, in the order input, forget, cell, output.
        Without a `cell` state there is no forget gate, and the shape is (N, 3 * hidden, H, W).
    recurrent : Tensor, shape of `inputs`, optional
        The part that comes from the former hidden state, to be added. Default: zeros.
    cell : Tensor, shape (N, hidden, H, W), optional
        The former cell state. Default: zeros.

    Returns
    -------
    hidden, cell : Tensor, shape (N, hidden, H, W)
        The new state.
    """
    given = [t for t in (inputs, recurrent, cell) if t is not None]
    if (
        any(caller.wants_registered_operator(t) or t.dtype != inputs.dtype for t in given)
        or caller.is_transformed()
        or forward_ad._current_level >= 0
        or inputs.numel() == 0
    ):
        gates = inputs if recurrent is None else inputs + recurrent
        return _plain(gates, cell)
    hidden, cell, _ = _eager_step(inputs, recurrent, cell)
    return hidden, cell


def _plain(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    if cell is None:
        i, g, o = gates.chunk(3, dim=1)
        cell = i.sigmoid() * g.tanh()
    else:
        i, f, g, o = gates.chunk(4, dim=1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def _rows(x: Tensor, channels_last: bool, gates: int | None = None) -> Rows:
    """View x (N, C, H, W) as (outer, gates, inner), or as (outer, inner) without `gates`.

    It is copied only if it has another memory layout.
    `inner` is what is adjacent in memory for one gate: hidden * cells, or hidden if channels_last.
    """
    x = in_layout(x, channels_last)
    x = x.movedim(1, -1).flatten(0, 2) if channels_last else x.flatten(1)
    return x if gates is None else x.view(len(x), gates, -1)


class _Step(torch.autograd.Function):
    """Return hidden state, cell state and activated gates.

    The gates are an output so that the gradients, which are functions of them, can be
    differentiated themselves.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, recurrent: Tensor | None, former: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        gates = 3 if former is None else 4
        channels_last = is_channels_last(inputs)
        activated = empty_like(inputs)
        cell = torch.empty(
            (len(inputs), inputs.shape[1] // gates, *inputs.shape[2:]),
            dtype=inputs.dtype,
            device=inputs.device,
            memory_format=torch.channels_last if channels_last else torch.contiguous_format,
        )
        hidden = torch.empty_like(cell)
        compute: Callable[..., Rows | None] = _forward
        if _uses_triton(inputs):
            from tritonbn.kernels import lstm_launch

            compute = lstm_launch.forward
        squashed = compute(
            _rows(inputs, channels_last, gates),
            None if recurrent is None else _rows(recurrent, channels_last, gates),
            None if former is None else _rows(former, channels_last),
            _rows(activated, channels_last, gates),
            _rows(cell, channels_last),
            _rows(hidden, channels_last),
        )
        ctx.set_materialize_grads(False)
        ctx.has_recurrent, ctx.channels_last = recurrent is not None, channels_last
        ctx.save_for_backward(activated, former, cell, squashed)
        return hidden, cell, activated

    @staticmethod
    def backward(
        ctx: Any, dhidden: Tensor | None, dcell: Tensor | None, dactivated: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        activated, former, cell, squashed = ctx.saved_tensors
        dhidden = torch.zeros_like(cell) if dhidden is None else dhidden
        gates, channels_last = 3 if former is None else 4, ctx.channels_last
        if (
            dactivated is not None
            or caller.wants_more_than_gradients()
            or caller.is_mapped_by_autograd()
        ):
            dgates, dformer = _plain_gradients(activated, former, cell, dhidden, dcell, dactivated)
        else:
            dgates = torch.empty_like(activated)
            dformer = None if former is None else torch.empty_like(cell)
            compute: Callable[..., None] = _backward
            if _uses_triton(activated):
                from tritonbn.kernels import lstm_launch

                compute = lstm_launch.backward
            compute(
                _rows(activated, channels_last, gates),
                None if former is None else _rows(former, channels_last),
                _rows(cell, channels_last) if squashed is None else squashed,
                _rows(dhidden, channels_last),
                None if dcell is None else _rows(dcell, channels_last),
                _rows(dgates, channels_last, gates),
                None if dformer is None else _rows(dformer, channels_last),
            )
        return dgates, dgates if ctx.has_recurrent else None, dformer


_eager_step: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Step.apply


def _uses_triton(x: Tensor) -> bool:
    return backends.choose_backend("auto", x) == "triton"


def _forward(
    inputs: Rows,
    recurrent: Rows | None,
    former: Rows | None,
    activated: Rows,
    cell: Rows,
    hidden: Rows,
) -> Rows:
    """Compute the state, and return the hyperbolic tangent of the cell state, a slow function."""
    gates = inputs if recurrent is None else torch.add(inputs, recurrent, out=activated)
    torch.sigmoid(gates[:, :-2], out=activated[:, :-2])  # the input gate, and the forget gate
    torch.tanh(gates[:, -2], out=activated[:, -2])
    torch.sigmoid(gates[:, -1], out=activated[:, -1])
    torch.mul(activated[:, 0], activated[:, -2], out=cell)
    if former is not None:
        cell.addcmul_(activated[:, 1], former)
    squashed = cell.tanh()
    torch.mul(squashed, activated[:, -1], out=hidden)
    return squashed


def _backward(
    activated: Rows,
    former: Rows | None,
    squashed: Rows,
    dhidden: Rows,
    dcell: Rows | None,
    dgates: Rows,
    dformer: Rows | None,
) -> None:
    through_sigmoid, through_tanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    i, g, o = activated[:, 0], activated[:, -2], activated[:, -1]
    di, dg, do = dgates[:, 0], dgates[:, -2], dgates[:, -1]
    torch.mul(dhidden, squashed, out=do)
    through_sigmoid(do, o, grad_input=do)
    d = dhidden * o
    through_tanh(d, squashed, grad_input=d)
    if dcell is not None:
        d += dcell
    torch.mul(d, g, out=di)
    through_sigmoid(di, i, grad_input=di)
    torch.mul(d, i, out=dg)
    through_tanh(dg, g, grad_input=dg)
    if former is not None:
        f, df = activated[:, 1], dgates[:, 1]
        torch.mul(d, former, out=df)
        through_sigmoid(df, f, grad_input=df)
        torch.mul(d, f, out=dformer)


def _plain_gradients(
    activated: Tensor,
    former: Tensor | None,
    cell: Tensor,
    dhidden: Tensor,
    dcell: Tensor | None,
    dactivated: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Compute the gradients of gates and former cell state by operations with derivatives."""
    i, *forget, g, o = activated.chunk(3 if former is None else 4, dim=1)
    squashed = cell.tanh()
    d = dhidden * o * (1 - squashed.square())
    if dcell is not None:
        d = d + dcell
    parts = [d * g, *(() if former is None else (d * former,)), d * i, dhidden * squashed]
    if dactivated is not None:
        parts = [p + q for p, q in zip(parts, dactivated.chunk(len(parts), dim=1), strict=True)]
    slopes = [i * (1 - i), *(f * (1 - f) for f in forget), 1 - g.square(), o * (1 - o)]
    dgates = torch.cat([part * slope for part, slope in zip(parts, slopes, strict=True)], dim=1)
    return dgates, d * forget[0] if forget else None
