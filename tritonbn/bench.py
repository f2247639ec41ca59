"""`tritonbn bench`: compare the speed of `LocalBN` with `torch.nn.BatchNorm2d`."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from tritonbn.module import LocalBN
from tritonbn.segments import Segments

SHAPES = ((128, 64, 32, 32), (32, 64, 32, 32), (8, 16, 16, 16))
"""The inputs that `run_bench` measures; the first one also with one layer per cell."""

_VALUES = 40_000_000  # at least 20 rounds, and for small inputs as many as have so many values
_MOST_ROUNDS = 300
_BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


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
class Spread:
    """Quartiles of a time in milliseconds."""

    first: float
    median: float
    third: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Spread":
        """Summarize at least one time."""
        if len(seconds) == 1:
            seconds = seconds * 2
        quartiles = quantiles(seconds, n=4, method="inclusive")
        return cls(*(round(1e3 * quartile, 5) for quartile in quartiles))


@dataclass(frozen=True)
class Timing:
    """Times of a layer: forward in training, forward and backward, and in evaluation mode."""

    name: str
    forward: Spread
    step: Spread
    inference: Spread


def layers_for(channels: int, grid: tuple[int, int], separate: bool) -> dict[str, nn.Module]:
    """Return the layers that are compared, `torch.nn.BatchNorm2d` first.

    Parameters
    ----------
    channels : int
    grid : (int, int)
    separate : bool
        Whether to include the implementations with one layer per cell, which are slow.
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
    }
    if separate:
        layers |= {
            f"{cells} nn.BatchNorm2d, unbound together": UnboundLayers(channels, grid),
            f"{cells} nn.BatchNorm2d, sliced one by one (published)": PublishedLayers(
                channels, grid
            ),
        }
    return layers


def measure(
    shape: tuple[int, int, int, int] = SHAPES[0],
    rounds: int | None = None,
    device: torch.device | str = "cpu",
    separate: bool = False,
) -> list[Timing]:
    """Time all layers in interleaved rounds, so that other load on the machine affects all alike.

    Parameters
    ----------
    shape : (int, int, int, int), default (128, 64, 32, 32)
        N, C, H and W of the input, which is float32 and contiguous.
    rounds : int, optional
        Measured rounds, after two rounds of warm-up. Default: 20 to 300, depending on the shape.
    device : torch.device or str, default "cpu"
    separate : bool, default False
        Whether to include the implementations with one layer per cell. They are slow: they get one
        round of warm-up and one measured round.

    Returns
    -------
    list of Timing
        `torch.nn.BatchNorm2d` first.
    """
    batch, channels, *grid = shape
    if rounds is None:
        rounds = min(_MOST_ROUNDS, max(20, _VALUES // (batch * channels * grid[0] * grid[1])))
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    layers = layers_for(channels, (grid[0], grid[1]), separate)
    times: dict[str, list[tuple[float, ...]]] = {name: [] for name in layers}
    for number in track(range(rounds + 2), description=str(shape), transient=True):
        for name, layer in layers.items():
            if not isinstance(layer, PublishedLayers) or number < 2:
                times[name].append(_time_passes(layer.to(device), x, dy))
    timings = []
    for name, measured in times.items():
        counted = measured[1 if isinstance(layers[name], PublishedLayers) else 2 :]
        parts = zip(*counted, strict=True)
        timings.append(Timing(name, *(Spread.of(list(part)) for part in parts)))
    return timings


def _time_passes(layer: nn.Module, x: Tensor, dy: Tensor) -> tuple[float, float, float]:
    """Return the seconds of a forward pass, of forward and backward, and in evaluation mode."""
    leaf = x.detach().requires_grad_()
    layer.train().zero_grad()
    start = _now(x)
    y = layer(leaf)
    middle = _now(x)
    y.backward(dy)
    end = _now(x)
    del y, leaf
    layer.eval()
    with torch.no_grad():
        before = _now(x)
        layer(x)
        return middle - start, end - start, _now(x) - before


def _now(x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter()


@contextmanager
def busy_core() -> Iterator[subprocess.Popen[bytes]]:
    """Keep one core busy with another process, which ends with the context or with this process."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run_bench(
    console: Console,
    device: torch.device | None = None,
    contend: bool = False,
    record: Path | None = None,
) -> None:
    """Measure inputs of several sizes; print a table for each, and a description of the machine.

    Parameters
    ----------
    console : Console
        Where to print.
    device : torch.device, optional
        Where to compute. Default: the GPU if there is one, else the CPU.
    contend : bool, default False
        Whether to keep one core busy meanwhile.
    record : Path, optional
        A JSON file for all numbers. Default: none is written.
    """
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = {}
    with busy_core() if contend else nullcontext():
        for shape in SHAPES:
            separate = shape == SHAPES[0] and not contend
            found[shape] = measure(shape, device=device, separate=separate)
            console.print(_table(found[shape], shape))
    console.print(describe_machine(device) + ("; another process on one core" if contend else ""))
    if record is not None:
        _write(record, found, device, contend)


def _table(timings: list[Timing], shape: tuple[int, ...]) -> Table:
    table = Table(title=f"Milliseconds at {shape}, float32: median (quartiles) of rounds in turn")
    for heading in ("layer", "forward", "forward + backward", "x", "inference", "x"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    first = timings[0]
    for timing in timings:
        step, inference = timing.step, timing.inference
        table.add_row(
            timing.name,
            f"{timing.forward.median:,.2f}",
            f"{step.median:,.2f} ({step.first:,.2f} - {step.third:,.2f})",
            f"{step.median / first.step.median:,.2f}",
            f"{inference.median:,.2f}",
            f"{inference.median / first.inference.median:,.2f}",
        )
    return table


def _write(
    path: Path,
    found: dict[tuple[int, int, int, int], list[Timing]],
    device: torch.device,
    contend: bool,
) -> None:
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "tritonbn bench" + " --contend" * contend,
        "machine": describe_machine(device),
        "layers": [
            {"shape": shape, **asdict(timing)}
            for shape, timings in found.items()
            for timing in timings
        ],
    }
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(path)


def describe_machine(device: torch.device) -> str:
    """Return the processor, the number of threads and the versions, in one line."""
    if device.type == "cpu":
        processor = f"{cpu_name()}, {torch.get_num_threads()} threads"
    else:
        processor = torch.cuda.get_device_name(device)
    return f"{processor}; Python {platform.python_version()}, torch {torch.__version__}"


def cpu_name() -> str:
    """Return the name of the processor, which Linux gives in /proc/cpuinfo only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
