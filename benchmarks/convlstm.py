"""Compare the ConvLSTM cell with the usual one: `python benchmarks/convlstm.py [BATCH]`.

The usual cell joins input and hidden state, applies one convolution, and splits its result into the
gates. The table has the median times of a training step (forward and backward over a sequence) in
milliseconds, of repetitions in turn, for sequences of 12 times and of a single time; 1 input
channel, 64 filters and a 32x32 grid; on a GPU, if there is one, otherwise on the CPU.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from tritonbn.models.convlstm_cell import ConvLSTMCell

HIDDEN, GRID, REPETITIONS = 64, (32, 32), 7


class UsualCell(nn.Module):
    """A ConvLSTM of one convolution and separate operations for gates and state."""

    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(in_channels + hidden, 4 * hidden, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden and cell state, (N, hidden, H, W), after the sequence x."""
        h = c = x.new_zeros(len(x), self.hidden, *x.shape[3:])
        for now in x.unbind(1):
            i, f, g, o = self.gates(torch.cat([now, h], dim=1)).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return h, c


def milliseconds(step: Callable[[], object], device: str) -> float:
    """Return the time of one call, on the GPU if that is the device."""
    if device == "cpu":
        before = time.perf_counter()
        step()
        return 1e3 * (time.perf_counter() - before)
    start, end = (torch.Event(device, enable_timing=True) for _ in range(2))
    start.record()
    step()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def measure(batch: int) -> None:
    """Measure and print the table."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtypes = (torch.float32, torch.bfloat16) if device == "cuda" else (torch.float32,)
    print("| times | type | ConvLSTMCell | usual cell | ratio |\n| --: | --- | --: | --: | --: |")
    for length in (12, 1):
        for dtype in dtypes:
            x = torch.rand(batch, length, 1, *GRID, device=device, dtype=dtype)
            cells = [kind(1, HIDDEN).to(device, dtype) for kind in (ConvLSTMCell, UsualCell)]

            def step(cell: nn.Module, x: Tensor = x) -> None:
                cell.zero_grad()
                cell(x)[0].sum().backward()

            times: list[list[float]] = [[], []]
            for repetition in range(REPETITIONS + 2):
                for cell, found in zip(cells, times, strict=True):
                    took = milliseconds(lambda cell=cell, step=step: step(cell), device)  # type: ignore[misc]
                    if repetition >= 2:  # the first ones compile and allocate
                        found.append(took)
            ours, usual = map(median, times)
            name = str(dtype).removeprefix("torch.")
            print(f"| {length} | {name} | {ours:.1f} | {usual:.1f} | {usual / ours:.2f} |")


def main() -> None:
    """Measure a batch of the size asked for."""
    parser = argparse.ArgumentParser(description="Compare the ConvLSTM cell with the usual one.")
    parser.add_argument("batch", type=int, nargs="?", default=8, help="samples (default: 8)")
    measure(parser.parse_args().batch)


if __name__ == "__main__":
    main()
