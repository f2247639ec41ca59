"""The layers that are compared on an input."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import nn

from tritonbn.backends import has_triton
from tritonbn.bench.cases import CONTIGUOUS, MAIN, SEGMENTS, Input, segments_of
from tritonbn.bench.segment_peers import (
    OneHotMatmul,
    PublishedLayers,
    StatsAndElemt,
    UnboundLayers,
    ViewAsFeatures,
)
from tritonbn.module import LocalBN

LOCAL = "LocalBN"
GLOBAL = "nn.BatchNorm2d"
DEFINITION = "the definition"
ONE_HOT = "one-hot matmul"
STATS = "batch_norm_stats and index_add"
PUBLISHED = "the published layers"
UNBOUND = "the published layers, unbound"
VIEW = "nn.BatchNorm1d on the view"
_MOST_ONE_HOT = 1 << 28  # values of the one-hot matrix, which then has 1 GiB


@dataclass(frozen=True)
class Peer:
    """A layer that is compared.

    Parameters
    ----------
    segments : str
        See `segments_of`.
    name : str
    make : callable
        Makes the layer; what fails in it is recorded as this layer's error.
    slow : bool, default False
        Whether a single round is enough, measured with a clock.
    three_stages : bool, default False
        Whether to forbid the kernel that needs only one pass.
    """

    segments: str
    name: str
    make: Callable[[], nn.Module]
    slow: bool = False
    three_stages: bool = False

    def limits(self) -> AbstractContextManager[None]:
        """Return the context in which the layer is run."""
        if not self.three_stages:
            return nullcontext()
        from tritonbn.bench.kernels import without_one_pass

        return without_one_pass()


def peers(case: Input, segments: str, device: torch.device) -> list[Peer]:
    """Return the layers that are compared on an input with some segments.

    Parameters
    ----------
    case : Input
    segments : str
        See `segments_of`.
    device : torch.device

    Returns
    -------
    list of Peer
        Layers that are slow to run are there for the input `MAIN` only.
    """
    channels, grid = case.shape[1], case.grid
    parts = segments_of(segments, grid)

    def on_device(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        return lambda: make().to(device)

    local = partial(LocalBN, channels, parts)
    made: dict[str, Callable[[], nn.Module]] = {}
    if segments == "single":
        made[GLOBAL] = partial(nn.BatchNorm2d, channels)
    made[LOCAL] = local
    is_cuda = device.type == "cuda"
    if segments == "per cell" and case.memory_format == CONTIGUOUS:
        made[VIEW] = partial(ViewAsFeatures, channels, grid)
    elif segments != "single" and case.memory_format == CONTIGUOUS and case.bytes <= MAIN.bytes:
        if prod(grid) * parts.num_segments <= _MOST_ONE_HOT:
            made[ONE_HOT] = partial(OneHotMatmul, channels, parts)
        if is_cuda:
            made[STATS] = partial(StatsAndElemt, channels, parts)
    if is_cuda and case == MAIN and segments != "single":
        made["LocalBN, native"] = partial(local, backend="native")
    found = [Peer(segments, name, on_device(make)) for name, make in made.items()]
    if is_cuda and has_triton():
        from tritonbn.bench.kernels import has_one_pass

        if has_one_pass(case, segments):
            three_stages = Peer(
                segments, "LocalBN, three stages", on_device(local), three_stages=True
            )
            found.append(three_stages)
    if case == MAIN and segments == "per cell":
        slow = {UNBOUND: UnboundLayers, PUBLISHED: PublishedLayers}
        for name, kind in slow.items():
            found.append(Peer(segments, name, on_device(partial(kind, channels, grid)), slow=True))
    return found


def compiled_peers(device: torch.device) -> list[Peer]:
    """Return the layers that are compared on `MAIN` after `torch.compile`."""
    found = []
    for segments in SEGMENTS:
        candidates = [
            peer
            for peer in peers(MAIN, segments, device)
            if not (peer.slow or peer.three_stages or peer.name == "LocalBN, native")
        ]
        if segments == "single":
            candidates = candidates[:1]
        else:
            parts = segments_of(segments, MAIN.grid)
            definition = partial(LocalBN, MAIN.shape[1], parts, backend="reference", device=device)
            candidates.append(Peer(segments, DEFINITION, definition))
        for peer in candidates:
            found.append(Peer(segments, f"{peer.name}, compiled", _compiled(peer.make)))
    return found


def _compiled(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def make_compiled() -> nn.Module:
        torch.compiler.reset()  # what was compiled for other layers would count against a limit
        layer = make()
        layer.compile(dynamic=False)
        return layer

    return make_compiled
