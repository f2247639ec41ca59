"""The pointwise part of an LSTM step: gates, cell state and hidden state in one pass each way.

The gates are a contiguous tensor (outer, gates, inner) and the states are (outer, inner), which
covers both memory layouts of a grid: contiguous (N, gates, hidden * cells) and channels_last
(N * cells, gates, hidden). The gates are those of `torch.nn.LSTM`, in its order: input, forget,
cell and output. Without a former state there is no forget gate.
"""

import triton
import triton.language as tl

from tritonbn.kernels.arithmetic import tanh


@triton.jit
def _locate(INNER: tl.constexpr, GATES: tl.constexpr, BLOCK: tl.constexpr):
    """Return a block of positions in the states, and those in the first gate (int64)."""
    state = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return state, state // INNER * (GATES * INNER) + state % INNER


@triton.jit
def _gate(inputs, recurrent, place, inside, COMPUTE: tl.constexpr):
    gate = tl.load(inputs + place, mask=inside, other=0).to(COMPUTE)
    if recurrent is not None:
        gate += tl.load(recurrent + place, mask=inside, other=0).to(COMPUTE)
    return gate


@triton.jit
def lstm_forward(
    inputs,
    recurrent,
    former,
    activated,
    cell,
    hidden,
    size,
    INNER: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the activated gates, the cell state and the hidden state."""
    GATES: tl.constexpr = 3 if former is None else 4
    state, first = _locate(INNER, GATES, BLOCK)
    inside = state < size
    kind = activated.dtype.element_ty
    i = tl.sigmoid(_gate(inputs, recurrent, first, inside, COMPUTE))
    g = tanh(_gate(inputs, recurrent, first + (GATES - 2) * INNER, inside, COMPUTE))
    o = tl.sigmoid(_gate(inputs, recurrent, first + (GATES - 1) * INNER, inside, COMPUTE))
    c = i * g
    if former is not None:
        f = tl.sigmoid(_gate(inputs, recurrent, first + INNER, inside, COMPUTE))
        c += f * tl.load(former + state, mask=inside, other=0).to(COMPUTE)
        tl.store(activated + first + INNER, f.to(kind), mask=inside)
    tl.store(activated + first, i.to(kind), mask=inside)
    tl.store(activated + first + (GATES - 2) * INNER, g.to(kind), mask=inside)
    tl.store(activated + first + (GATES - 1) * INNER, o.to(kind), mask=inside)
    tl.store(cell + state, c.to(kind), mask=inside)
    tl.store(hidden + state, (o * tanh(c)).to(kind), mask=inside)


@triton.jit
def lstm_backward(
    activated,
    former,
    cell,
    dhidden,
    dcell,
    dgates,
    dformer,
    size,
    INNER: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the gradients of the gates and of the former cell state.

    `dcell` is None if only the hidden state was used.
    """
    GATES: tl.constexpr = 3 if former is None else 4
    state, first = _locate(INNER, GATES, BLOCK)
    inside = state < size
    kind = dgates.dtype.element_ty
    i = _gate(activated, None, first, inside, COMPUTE)
    g = _gate(activated, None, first + (GATES - 2) * INNER, inside, COMPUTE)
    o = _gate(activated, None, first + (GATES - 1) * INNER, inside, COMPUTE)
    t = tanh(tl.load(cell + state, mask=inside, other=0).to(COMPUTE))
    dh = tl.load(dhidden + state, mask=inside, other=0).to(COMPUTE)
    dc = dh * o * (1 - t * t)
    if dcell is not None:
        dc += tl.load(dcell + state, mask=inside, other=0).to(COMPUTE)
    if former is not None:
        f = _gate(activated, None, first + INNER, inside, COMPUTE)
        df = dc * tl.load(former + state, mask=inside, other=0).to(COMPUTE) * f * (1 - f)
        tl.store(dgates + first + INNER, df.to(kind), mask=inside)
        tl.store(dformer + state, (dc * f).to(kind), mask=inside)
    di = dc * g * i * (1 - i)
    dg = dc * i * (1 - g * g)
    do = dh * t * o * (1 - o)
    tl.store(dgates + first, di.to(kind), mask=inside)
    tl.store(dgates + first + (GATES - 2) * INNER, dg.to(kind), mask=inside)
    tl.store(dgates + first + (GATES - 1) * INNER, do.to(kind), mask=inside)
