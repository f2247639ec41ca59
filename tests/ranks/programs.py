"""What the processes of the other tests run."""

import copy
import os
import pickle
import time

import torch
from no_gradient import WithoutGradient
from ranks.cases import CHANNELS, GRID, SEGMENTS
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tritonbn import LocalBN, convert_sync_localbn, local_batch_norm


def batches(steps, dtype=torch.float64):
    """Return inputs and targets of some training steps, of eight samples each."""
    generator = torch.Generator().manual_seed(0)
    shape = (steps, 8, 1, *GRID)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in "xy"]


def network(norm, dtype=torch.float64):
    """Return a network whose initial parameters are always the same."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, CHANNELS, 3, padding=1), norm, nn.ReLU(inplace=True)
    return nn.Sequential(*layers, nn.Conv2d(CHANNELS, 1, 1)).to(dtype)


def train(model, inputs, targets, part=slice(None), accumulate=1):
    """Train with the part of each batch, and return the losses and the state of the model."""
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for number, (x, y) in enumerate(zip(inputs, targets, strict=True), 1):
        waits = number % accumulate > 0 and isinstance(model, DistributedDataParallel)
        with model.no_sync() if waits else torch.enable_grad():
            loss = nn.functional.mse_loss(model(x[part]).to(y.dtype), y[part])
            (loss / accumulate).backward()
        losses.append(float(loss.detach()))
        if number % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    network = getattr(model, "module", model)
    return {"losses": torch.tensor(losses, dtype=torch.float64), **network.state_dict()}


def train_together(cases):
    """Train a network for each case, with half of each batch on each of two ranks."""
    own = slice(4, 8) if torch.distributed.get_rank() else slice(0, 4)
    results = {}
    for segments, accumulate in cases:
        model = convert_sync_localbn(network(LocalBN(CHANNELS, SEGMENTS[segments])))
        results[segments, accumulate] = train(
            DistributedDataParallel(model), *batches(4), own, accumulate
        )
    return results


def second_derivatives(backend):
    """Return the gradients of the squared norm of the gradient of the input and the weight."""
    group = torch.distributed.group.WORLD
    rank = group.rank()
    layer = LocalBN(
        CHANNELS, SEGMENTS["nearest"], backend=backend, process_group=group, dtype=torch.float64
    )
    x = batches(1)[0][0].expand(-1, CHANNELS, -1, -1)[4 * rank : 4 * rank + 4].clone()
    return penalty_gradients(layer, x.requires_grad_(), 4 * rank)


def penalty_gradients(layer, x, first):
    """Return the gradients of the sum of squares of dx; the outputs are weighted by sample."""
    samples = torch.arange(first, first + len(x), dtype=x.dtype).cos()[:, None, None, None]
    loss = (layer(x).pow(3) * samples).sum()
    (dx,) = torch.autograd.grad(loss, x, create_graph=True)
    return torch.autograd.grad(dx.square().sum(), (x, layer.weight))


def compiled(backend):
    """Return outputs and gradients of a layer in eager mode and compiled."""
    rank = torch.distributed.get_rank()
    x = batches(1, torch.float32)[0][0][4 * rank : 4 * rank + 4].expand(-1, CHANNELS, -1, -1)
    results = []
    for compiler in (None, "aot_eager"):
        layer = convert_sync_localbn(LocalBN(CHANNELS, SEGMENTS["nearest"], backend=backend))
        leaf = x.clone().requires_grad_()
        call = torch.compile(layer, backend=compiler, fullgraph=True) if compiler else layer
        y = call(leaf)
        y.pow(3).sum().backward()
        results.append([y.detach(), leaf.grad, layer.weight.grad, layer.running_var])
    return results


def autocast():
    """Return the output of a layer whose input is in bfloat16 because of autocast."""
    rank = torch.distributed.get_rank()
    model = convert_sync_localbn(network(LocalBN(CHANNELS, SEGMENTS["nearest"]), torch.float32))
    x = batches(1, torch.float32)[0][0]
    with torch.autocast("cpu", torch.bfloat16):
        before = model[0](x)
        return before.detach(), model[1](before[4 * rank : 4 * rank + 4]).detach()


def copies():
    """Say of a layer and its copies whether they have the same group, and what they compute."""
    group = torch.distributed.new_group([0, 1])
    layer = LocalBN(CHANNELS, SEGMENTS["single"], process_group=group)
    layers = layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    x = torch.full((2, CHANNELS, *GRID), float(torch.distributed.get_rank()))
    return [(one.process_group is group, one(x).detach()) for one in layers]


def group_of_some_ranks():
    """Normalize with the statistics of the ranks 0 and 1; rank 2 belongs to no group."""
    rank = torch.distributed.get_rank()
    group = torch.distributed.new_group([0, 1])
    x = torch.full((2, CHANNELS, *GRID), float(rank))
    try:
        layer = convert_sync_localbn(LocalBN(CHANNELS, SEGMENTS["single"]), group)
    except TypeError as error:
        return str(error)
    return layer(x).detach()


def single_values(backend):
    """Give one rank a single sample, and the other none."""
    group = torch.distributed.group.WORLD
    x = torch.randn(1 - group.rank(), CHANNELS, *GRID)
    layer = LocalBN(CHANNELS, GRID, backend=backend, process_group=group)
    return message_of(lambda: layer(x)), layer.running_mean


def without_a_gradient():
    """Return dx of a rank whose loss does not depend on its output, but that of the other does."""
    rank = torch.distributed.get_rank()
    x = batches(1)[0][0][4 * rank : 4 * rank + 4].clone().requires_grad_()
    y = local_batch_norm(x, SEGMENTS["single"], training=True, process_group="0")
    if rank == 0:
        y.backward(torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view(y.shape))
    else:
        WithoutGradient.apply(y).sum().backward()
    return x.grad


def forward_mode():
    """Return the messages of derivatives that are not supported."""
    x = torch.randn(4, CHANNELS, *GRID)
    layer = LocalBN(CHANNELS, GRID, track_running_stats=False, process_group="0")

    def norm(x):
        return layer(x).square().sum()

    return [
        message_of(lambda: torch.func.jvp(norm, (x,), (x,))),
        message_of(lambda: torch.func.hessian(norm)(x)),
    ]


def lost_rank(ends):
    """Let the last rank end, or hang, before its first step; return what the others see."""
    group = torch.distributed.group.WORLD
    last = group.rank() == group.size() - 1
    layer = LocalBN(CHANNELS, SEGMENTS["single"], process_group=group)
    x = torch.randn(2, CHANNELS, *GRID)
    layer(x)
    if last and ends:
        os._exit(0)
    if last:
        time.sleep(3600)
    return message_of(lambda: layer(x))


def uneven_inputs():
    """Train with one batch more on rank 0, in the context `join` of DDP."""
    model = DistributedDataParallel(
        convert_sync_localbn(network(LocalBN(CHANNELS, SEGMENTS["single"])))
    )
    inputs, targets = batches(3 - torch.distributed.get_rank())

    def all_steps():
        with model.join(throw_on_early_termination=True):
            train(model, inputs, targets)

    return message_of(all_steps)


def message_of(call):
    """Return the message of the error that a call raises."""
    try:
        call()
    except (NotImplementedError, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"
