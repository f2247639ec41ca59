"""The commands of the layer: bench, kernels, tune and doctor."""

import argparse
import os
from itertools import product

import torch
from rich.console import Console
from rich.progress import Progress

from data_prep.options import grid
from tritonbn.backends import has_triton
from tritonbn.bench.command import add_options, run_bench
from tritonbn.cli.arguments import Commands, add_command, at_least, device_options
from tritonbn.tables import text_table

_TARGETS = ("sm_75", "sm_80", "sm_90", "sm_100", "gfx942")


class CannotRunError(Exception):
    """The command cannot run on this machine."""


def add_commands(commands: Commands) -> None:
    """Add the commands to a parser."""
    bench = add_command(
        commands,
        "bench",
        run_bench,
        "Time LocalBN beside torch.nn.BatchNorm2d and other ways to compute the same.",
        [device_options()],
    )
    add_options(bench)
    add_command(
        commands, "doctor", _doctor, "Print versions, devices and the state of the kernels."
    )
    kernels = add_command(
        commands, "kernels", _kernels, "Compile all Triton kernels and print their resource usage."
    )
    kernels.add_argument(
        "--targets",
        nargs="+",
        metavar="TARGET",
        default=_TARGETS,
        help=f"GPUs, which this machine need not have (default: {' '.join(_TARGETS)})",
    )
    kernels.add_argument(
        "--markdown", action="store_true", help="print the page of the documentation"
    )
    tune = add_command(
        commands, "tune", _tune, "Choose the configurations of the kernels ahead of time."
    )
    tune.add_argument(
        "--grid", type=grid, default=(32, 32), help="height and width in cells (default: 32x32)"
    )
    tune.add_argument(
        "--channels", type=at_least(1), nargs="+", required=True, help="one or several numbers"
    )
    tune.add_argument(
        "--batch", type=at_least(1), default=128, help="samples of a batch (default: 128)"
    )
    tune.add_argument(
        "--largest",
        type=at_least(1),
        default=1,
        help="cells of the largest segment (default: 1, single cells)",
    )
    tune.add_argument(
        "--dtype",
        nargs="+",
        choices=["float32", "bfloat16", "float16", "float64"],
        default=["float32"],
        help="default: float32",
    )
    tune.add_argument(
        "--layout",
        nargs="+",
        choices=["contiguous", "channels_last"],
        default=["contiguous"],
        help="default: contiguous",
    )


def _doctor(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.doctor import run_doctor

    run_doctor(console)


def _kernels(options: argparse.Namespace, console: Console) -> None:
    """Compile every kernel in every configuration, and print its resource usage."""
    _require_triton()
    from tritonbn.kernels.offline.compiler import TARGETS
    from tritonbn.kernels.offline.usage import Usage, compile_all, page, table

    if unknown := [target for target in options.targets if target not in TARGETS]:
        raise CannotRunError(
            f"targets must be among {', '.join(TARGETS)}; got {', '.join(unknown)}"
        )
    usages: list[Usage] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Compiling", total=1.0)
        for done, added in compile_all(options.targets, jobs=os.cpu_count() or 1):
            usages += added
            progress.update(task, completed=done)
    if options.markdown:
        console.file.write(page(usages))
    else:
        console.print(text_table(table(usages)))


def _tune(options: argparse.Namespace, console: Console) -> None:
    """Choose the configurations of all kernels, and print them."""
    _require_triton()
    if not torch.cuda.is_available():
        raise CannotRunError("tune needs a CUDA or ROCm GPU, and PyTorch sees none")
    from tritonbn.kernels import tuning
    from tritonbn.kernels.configs import suitable_kernels
    from tritonbn.kernels.problem import Problem

    device = torch.device("cuda", torch.cuda.current_device())
    cells = options.grid[0] * options.grid[1]
    rows = [["kernel", "channels", "type", "layout", "tile", "warps"]]
    for channels, dtype, layout in product(options.channels, options.dtype, options.layout):
        problem = Problem(
            batch=options.batch,
            frames=1,
            channels=channels,
            cells=cells,
            segments=-(-cells // options.largest),
            largest=min(options.largest, cells),
            outside=0,
            dtype=getattr(torch, dtype),
            channels_last=layout == "channels_last",
        )
        for kernel in suitable_kernels(problem):
            config = tuning.choose(kernel, problem, device)
            tile = f"{config.rows} x {config.columns}"
            rows.append([kernel, str(channels), dtype, layout, tile, str(config.warps)])
    console.print(text_table(rows))


def _require_triton() -> None:
    if not has_triton():
        raise CannotRunError("Triton is not installed (it has packages for Linux only)")
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise CannotRunError("with TRITON_INTERPRET=1 the kernels are interpreted; unset it")
