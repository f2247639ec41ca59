"""`tritonbn bench`: compare the speed of `LocalBN` with `torch.nn.BatchNorm2d`."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from tritonbn.module import LocalBN
from tritonbn.segments import Segments


class PublishedLayers(nn.Module):
    """The published implementation: a slice and a batch norm layer per cell, then concatenation."""

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.layers = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(grid[0] * grid[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, C, H, W) cell by cell."""
        normalized = []
        for cell, layer in enumerate(self.layers):
            row, column = divmod(cell, self.grid[1])
            normalized.append(layer(x[:, :, row : row + 1, column : column + 1]))
        return torch.cat(normalized, dim=2).view(x.shape)


class UnboundLayers(PublishedLayers):
    """The same layers, with one split into cells; this avoids most copies in the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, C, H, W) cell by cell."""
        cells = torch.split(x.flatten(2).unsqueeze(2), 1, dim=3)
        normalized = [layer(cell) for layer, cell in zip(self.layers, cells, strict=True)]
        return torch.cat(normalized, dim=3).view(x.shape)


@dataclass(frozen=True)
class Timing:
    """Median times of a layer, in milliseconds."""

    name: str
    forward: float
    backward: float

    @property
    def total(self) -> float:
        """Forward and backward together, in milliseconds."""
        return self.forward + self.backward


def measure(
    batch: int = 128,
    channels: int = 64,
    grid: tuple[int, int] = (32, 32),
    rounds: int = 20,
    device: torch.device | str = "cpu",
) -> list[Timing]:
    """Time all layers in interleaved rounds, so that other load on the machine affects all alike.

    Parameters
    ----------
    batch, channels : int, default 128 and 64
        N and C of the input.
    grid : (int, int), default (32, 32)
        Height and width of the input.
    rounds : int, default 20
        Measured rounds, after two rounds of warm-up. The implementations with one layer per cell
        are slow: they get one round of warm-up and one measured round.
    device : torch.device or str, default "cpu"

    Returns
    -------
    list of Timing
        `torch.nn.BatchNorm2d` first.
    """
    cells = grid[0] * grid[1]
    stations = range(cells // 64, cells, max(1, cells // 32))
    layers: dict[str, nn.Module] = {
        "nn.BatchNorm2d": nn.BatchNorm2d(channels),
        "LocalBN, one segment": LocalBN(channels, Segments.single(grid)),
        f"LocalBN, {len(stations)} nearest-station segments": LocalBN(
            channels, Segments.nearest(stations, grid)
        ),
        f"LocalBN, {cells} single-cell segments": LocalBN(channels, grid),
        f"{cells} nn.BatchNorm2d, unbound together": UnboundLayers(channels, grid),
        f"{cells} nn.BatchNorm2d, sliced one by one (published)": PublishedLayers(channels, grid),
    }
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(batch, channels, *grid, generator=generator).to(device) for _ in range(2))
    passes = {name: _timed_pass(layer.to(device), x, dy) for name, layer in layers.items()}
    slow = {name for name, layer in layers.items() if isinstance(layer, PublishedLayers)}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in layers}
    for round_number in track(range(rounds + 2), description="Rounds", transient=True):
        for name, timed_pass in passes.items():
            if name not in slow or round_number < 2:
                times[name].append(timed_pass())
    timings = []
    for name, pairs in times.items():
        counted = pairs[1 if name in slow else 2 :]
        timings.append(Timing(name, *(1e3 * median(part) for part in zip(*counted, strict=True))))
    return timings


def run_bench(console: Console, device: torch.device | None = None) -> None:
    """Measure a large and a small input, and print both tables and a description of the machine.

    Parameters
    ----------
    console : Console
        Where to print.
    device : torch.device, optional
        Where to compute. Default: the GPU if there is one, else the CPU.
    """
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    console.print(_table(measure(device=device), "(128, 64, 32, 32)", "ms", 1e0))
    overhead = measure(2, 4, (4, 4), rounds=1000, device=device)
    console.print(
        _table(overhead, "(2, 4, 4, 4), where the overhead of a call dominates", "us", 1e3)
    )
    console.print(describe_machine(device))


def _table(timings: list[Timing], size: str, unit: str, per_millisecond: float) -> Table:
    table = Table(title=f"Forward + backward, float32, median {unit} at {size}")
    for heading in ("layer", "forward", "backward", "total", "x nn.BatchNorm2d"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    for timing in timings:
        numbers = (timing.forward, timing.backward, timing.total)
        ratio = timing.total / timings[0].total
        table.add_row(
            timing.name, *(f"{n * per_millisecond:,.1f}" for n in numbers), f"{ratio:,.2f}"
        )
    return table


def describe_machine(device: torch.device) -> str:
    """Return the processor, the number of threads and the versions, in one line."""
    if device.type == "cpu":
        processor = f"{cpu_name()}, {torch.get_num_threads()} threads"
    else:
        processor = torch.cuda.get_device_name(device)
    return f"{processor}; Python {platform.python_version()}, torch {torch.__version__}"


def _timed_pass(layer: nn.Module, x: Tensor, dy: Tensor) -> Callable[[], tuple[float, float]]:
    def timed_pass() -> tuple[float, float]:
        leaf = x.detach().requires_grad_()
        layer.zero_grad()
        start = _now(x)
        y = layer(leaf)
        middle = _now(x)
        y.backward(dy)
        return middle - start, _now(x) - middle

    return timed_pass


def _now(x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter()


def cpu_name() -> str:
    """Return the name of the processor, which Linux gives in /proc/cpuinfo only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
