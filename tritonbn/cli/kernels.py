"""The commands of the layer: bench, kernels, tune and doctor."""

import argparse
import os
from collections.abc import Sequence
from itertools import product

import torch
from rich.console import Console
from rich.progress import Progress

from data_prep.options import grid
from tritonbn.backends import has_triton
from tritonbn.bench.command import add_options, run_bench
from tritonbn.cli.arguments import Commands, add_command, at_least, device_options
from tritonbn.experiment.study.display import text_table


class CannotRunError(Exception):
    """The command cannot run on this machine."""


def add_commands(commands: Commands) -> None:
    """Add the commands to a parser."""
    bench = add_command(
        commands,
        "bench",
        _bench,
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
        default=["sm_75", "sm_80", "sm_90", "sm_100", "gfx942"],
        help="GPUs, which this machine need not have (default: sm_75 sm_80 sm_90 sm_100 gfx942)",
    )
    kernels.add_argument(
        "--markdown", action="store_true", help="print the page of the documentation"
    )
    tune = add_command(
        commands, "tune", _tune, "Choose the configurations of the kernels ahead of time."
    )
    tune.add_argument("--grid", type=grid, default=(32, 32), help="default: 32x32")
    tune.add_argument("--channels", type=at_least(1), nargs="+", required=True)
    tune.add_argument("--batch", type=at_least(1), default=128, help="default: 128")
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


def _bench(options: argparse.Namespace, console: Console) -> None:
    run_bench(options, console)


def _doctor(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.doctor import run_doctor

    run_doctor(console)


def _kernels(options: argparse.Namespace, console: Console) -> None:
    run_kernels(options.targets, options.markdown, console)


def _tune(options: argparse.Namespace, console: Console) -> None:
    shape = (options.grid, options.channels, options.batch, options.largest)
    run_tune(*shape, options.dtype, options.layout, console)


def run_kernels(targets: Sequence[str], as_markdown: bool, console: Console) -> None:
    """Compile every kernel in every configuration, and print its resource usage.

    Parameters
    ----------
    targets : sequence of str
        GPUs, such as "sm_90", which this machine need not have.
    as_markdown : bool
        Whether to print the page of the documentation.
    console : Console
        Where to print.

    Raises
    ------
    CannotRunError
        If Triton is not installed or interprets the kernels, or a target is unknown.
    """
    _require_triton()
    from tritonbn.kernels.offline.compiler import TARGETS
    from tritonbn.kernels.offline.usage import Usage, compile_all, markdown, table

    if unknown := [target for target in targets if target not in TARGETS]:
        raise CannotRunError(
            f"targets must be among {', '.join(TARGETS)}; got {', '.join(unknown)}"
        )
    usages: list[Usage] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Compiling", total=1.0)
        for done, added in compile_all(targets, jobs=os.cpu_count() or 1):
            usages += added
            progress.update(task, completed=done)
    if as_markdown:
        console.file.write(markdown(usages))
    else:
        console.print(text_table(table(usages)))


def run_tune(
    size: tuple[int, int],
    channels: Sequence[int],
    batch: int,
    largest: int,
    dtypes: Sequence[str],
    layouts: Sequence[str],
    console: Console,
) -> None:
    """Choose the configurations of all kernels, and print them.

    Parameters
    ----------
    size : (int, int)
        Height and width of the grid.
    channels : sequence of int
    batch : int
    largest : int
        Cells of the largest segment.
    dtypes : sequence of str
        Such as "float32".
    layouts : sequence of str
        "contiguous" or "channels_last".
    console : Console
        Where to print.

    Raises
    ------
    CannotRunError
        If Triton is not installed or interprets the kernels, or there is no GPU.
    """
    _require_triton()
    if not torch.cuda.is_available():
        raise CannotRunError("tune needs a CUDA or ROCm GPU, and PyTorch sees none")
    from tritonbn.kernels import tuning
    from tritonbn.kernels.configs import suitable_kernels
    from tritonbn.kernels.problem import Problem

    device = torch.device("cuda", torch.cuda.current_device())
    cells = size[0] * size[1]
    segments = -(-cells // largest)
    rows = [["kernel", "channels", "type", "layout", "tile", "warps"]]
    for count, dtype, layout in product(channels, dtypes, layouts):
        problem = Problem(
            batch,
            1,
            count,
            cells,
            segments,
            min(largest, cells),
            0,
            getattr(torch, dtype),
            layout == "channels_last",
        )
        for kernel in suitable_kernels(problem):
            config = tuning.choose(kernel, problem, device)
            tile = f"{config.rows} x {config.columns}"
            rows.append([kernel, str(count), dtype, layout, tile, str(config.warps)])
    console.print(text_table(rows))


def _require_triton() -> None:
    if not has_triton():
        raise CannotRunError("Triton is not installed (it has packages for Linux only)")
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise CannotRunError("with TRITON_INTERPRET=1 the kernels are interpreted; unset it")
