"""Measure the layer and its alternatives in PyTorch on a GPU, and write a record.

Run as ``python benchmarks/gpu.py record.json``; `gpu.sh` runs the tests first.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
import triton
from gpu_layers import (
    BFLOAT16,
    CHANNELS_LAST,
    CONTIGUOUS,
    FLOAT32,
    THREE_STAGES,
    Case,
    Layers,
    cases,
    name_of,
    problem_of,
    three_stages,
)
from gpu_table import pass_us
from gpu_timing import ceilings, graph_times, host_time, summary
from torch import nn

from tritonbn import LocalBN, Segments
from tritonbn.bench import PublishedLayers
from tritonbn.kernels import tuning
from tritonbn.kernels.configs import suitable_configs, suitable_kernels
from tritonbn.kernels.offline.compiler import compiling_for
from tritonbn.kernels.scratch import Scratch
from tritonbn.models import build_model

TRAFFIC = {  # reads and writes of a tensor of the size of x that a kernel needs at least
    "column_statistics": 1,
    "normalize": 2,
    "column_sums": 2,
    "input_gradient": 3,
    "one_pass_forward": 2,
    "one_pass_backward": 3,
}


def compile_ahead(part: int, parts: int, target: str) -> int:
    """Compile every `parts`-th of the kernels that tuning will launch, to fill Triton's cache."""
    torch.set_num_threads(1)
    work = []
    for case in cases():
        problem = problem_of(case)
        for kernel in suitable_kernels(problem):
            kind = tuning.kind_of(kernel, problem)
            work += [(kernel, kind, config) for config in suitable_configs(kernel, kind)]
    mine = list(dict.fromkeys(work))[part::parts]
    for kernel, kind, config in mine:
        with compiling_for(target):
            Scratch(kind, torch.device("meta")).launch(kernel, config)
    return len(mine)


def measure_case(case: Case) -> Iterator[dict[str, Any]]:
    """Time every layer in a case."""
    shape, dtype, memory_format, name = case
    inputs = Layers(case)
    words = {
        "shape": shape,
        "dtype": name_of(dtype),
        "memory_format": name_of(memory_format),
        "segments": name,
        "calls": inputs.calls,
    }
    for label, layer in inputs.layers().items():
        forced = label == THREE_STAGES
        row = {**words, "layer": label}
        try:
            with three_stages() if forced else nullcontext():
                forward = graph_times(partial(inputs.forward, layer), inputs.calls)
                step = graph_times(partial(inputs.step, layer), inputs.calls)
                row |= {"forward": summary(forward), "step": summary(step)}
                row["host_step_us"] = round(1e3 * host_time(partial(inputs.step, layer)), 1)
        except Exception as error:  # the other layers are still measured
            row["error"] = f"{type(error).__name__}: {error}"[:300]
        yield row
        torch.cuda.empty_cache()


def measure_published() -> dict[str, Any]:
    """Time a training step of the published layer, one `nn.BatchNorm2d` per cell."""
    layer = PublishedLayers(64, (32, 32)).cuda()
    x, dy = (torch.randn(128, 64, 32, 32, device="cuda") for _ in range(2))
    leaf = x.requires_grad_()
    times = []
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.autograd.grad(layer(leaf), (leaf, *layer.parameters()), dy)
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return {"shape": (128, 64, 32, 32), "dtype": "float32", "step": summary(times[1:])}


def measure_models() -> Iterator[dict[str, Any]]:
    """Time a training step of each network with each normalization."""
    grid, batch = (32, 32), 128
    segments = Segments.per_cell(grid)
    x, target = (
        torch.rand(batch, 1, 1, *grid, device="cuda"),
        torch.rand(batch, *grid, device="cuda"),
    )

    def step(model: nn.Module, number: int) -> object:
        loss = nn.functional.mse_loss(model(x).view(target.shape), target)
        # an LSTM does not use its recurrent weights in the first step of a sequence
        return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)

    backbones: tuple[Literal["convlstm", "cnn"], ...] = ("convlstm", "cnn")
    heads: tuple[Literal["convolution", "dense"], ...] = ("convolution", "dense")
    norms: tuple[Literal["none", "global", "local"], ...] = ("none", "global", "local")
    for backbone, head in product(backbones, heads):
        for norm in norms:
            model = build_model(backbone, norm, segments, head=head).cuda()
            run = partial(step, model)
            milliseconds, host = median(graph_times(run, 4)), host_time(run, 20)
            yield {
                "backbone": backbone,
                "head": head,
                "norm": norm,
                "step_us": round(1e3 * milliseconds, 1),
                "host_step_us": round(1e3 * host, 1),
                "samples_per_s": round(1e3 * batch / max(milliseconds, host)),
            }


def once() -> None:
    """Run one training step per case, for a profiler."""
    shape = (128, 64, 32, 32)
    for dtype, memory_format, name in (
        (FLOAT32, CONTIGUOUS, "32 nearest"),
        (FLOAT32, CONTIGUOUS, "per cell"),
        (BFLOAT16, CONTIGUOUS, "32 nearest"),
        (BFLOAT16, CONTIGUOUS, "per cell"),
        (FLOAT32, CHANNELS_LAST, "32 nearest"),
    ):
        inputs = Layers((shape, dtype, memory_format, name))
        layer = LocalBN(64, inputs.segments, device="cuda")
        inputs.step(layer, 0)
    torch.cuda.synchronize()


def show(row: dict[str, Any], ceiling: float) -> None:
    """Print a line of the table."""
    what = f"{row['shape']!s:20} {row['dtype'][:8]:8} {row['memory_format'][:10]:10}"
    what += f" {row['segments']:10} {row['layer']:26}"
    if "error" in row:
        print(what, row["error"][:80])
        return
    floor = pass_us(row, ceiling)
    forward, step = (row[key]["median_us"] for key in ("forward", "step"))
    print(
        f"{what} {forward:9.1f} {step:9.1f} us  host {row['host_step_us']:7.1f}"
        f"  /floor {forward / (2 * floor):5.2f} {step / (5 * floor):5.2f}"
    )


def main() -> None:
    """Measure all cases, print a table, and write the record after each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", nargs="?", type=Path)
    parser.add_argument(
        "--once", action="store_true", help="only run five training steps, for a profiler"
    )
    arguments = parser.parse_args()
    if arguments.once:
        once()
        return
    if arguments.record is None:
        parser.error("the file for the record is missing")
    started = time.perf_counter()
    jobs = os.cpu_count() or 1
    major, minor = torch.cuda.get_device_capability()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        compile_part = partial(compile_ahead, parts=jobs, target=f"sm_{major}{minor}")
        count = sum(pool.map(compile_part, range(jobs)))
    print(f"compiled {count} kernels in {time.perf_counter() - started:.0f} s", flush=True)

    tuned: list[dict[str, Any]] = []
    measure = tuning.measure

    def measure_and_note(run: Any) -> float:
        milliseconds = measure(run)
        kernel, config = run.args
        kind = run.func.__self__.problem
        bytes_moved = TRAFFIC[kernel] * kind.rows * kind.columns * kind.dtype.itemsize
        tuned.append(
            {
                "kernel": kernel,
                "problem": [name_of(part) for part in kind],
                "config": list(config),
                "us": round(1e3 * milliseconds, 2),
                "gb_per_s": round(bytes_moved / milliseconds / 1e6, 1),
            }
        )
        return milliseconds

    tuning.measure = measure_and_note
    record: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/gpu.py {arguments.record.name}",
        "device": torch.cuda.get_device_name(),
        "multiprocessors": torch.cuda.get_device_properties(0).multi_processor_count,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "triton": triton.__version__,
            "cuda": torch.version.cuda,
        },
        "ceilings_gb_per_s": ceilings(),
        "layers": [],
        "tuning": tuned,
    }
    print(record["device"], record["versions"], record["ceilings_gb_per_s"], flush=True)
    ceiling = record["ceilings_gb_per_s"]["copy_1GiB"]
    for case in cases():
        for row in measure_case(case):
            record["layers"].append(row)
            show(row, ceiling)
        sys.stdout.flush()
        arguments.record.write_text(json.dumps(record, indent=1), encoding="utf-8")
    record["published_layers"] = measure_published()
    record["models"] = list(measure_models())
    for row in (record["published_layers"], *record["models"]):
        print(row)
    arguments.record.write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(f"measured in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
