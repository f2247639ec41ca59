"""`tritonbn kernels` and `tritonbn tune`."""

import os
from collections.abc import Sequence
from itertools import product

import torch
from rich.console import Console
from rich.progress import Progress

from tritonbn.backends import has_triton


class CannotRunError(Exception):
    """What a command of the kernels lacks on this machine."""


def run_kernels(targets: Sequence[str], as_markdown: bool, console: Console) -> None:
    """Compile every kernel in every configuration, and print what it takes.

    Parameters
    ----------
    targets : sequence of str
        GPUs, such as "sm_90"; they need not be there.
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
    from tritonbn.experiment.display import text_table
    from tritonbn.kernels.offline.compiler import TARGETS
    from tritonbn.kernels.offline.usage import Usage, compile_all, markdown, table

    if unknown := [target for target in targets if target not in TARGETS]:
        raise CannotRunError(f"targets must be of {', '.join(TARGETS)}, got {', '.join(unknown)}")
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
    grid: tuple[int, int],
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
    grid : (int, int)
        Height and width.
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
    from tritonbn.experiment.display import text_table
    from tritonbn.kernels import tuning
    from tritonbn.kernels.configs import suitable_kernels
    from tritonbn.kernels.problem import Problem

    device = torch.device("cuda", torch.cuda.current_device())
    cells = grid[0] * grid[1]
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
