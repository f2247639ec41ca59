"""The table of what each kernel takes of a GPU, made without one."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import NamedTuple

import triton

from tritonbn.kernels.configs import Config
from tritonbn.kernels.offline.cases import compile_cases
from tritonbn.kernels.offline.compiler import TARGETS

_PARTS = 16  # of the work for a target, each done in a process of its own


class Usage(NamedTuple):
    """What a program of a kernel takes: see `tritonbn.kernels.offline.compiler.Compiled`."""

    kernel: str
    dtype: str
    config: Config
    target: str
    registers: int
    shared: int
    spills: int


def compile_all(targets: Sequence[str], jobs: int) -> Iterator[tuple[float, list[Usage]]]:
    """Compile all cases for these targets in that many processes.

    Yields
    ------
    done : float
        The share of the work, 1.0 at last.
    usages : list of Usage
        What was added.
    """
    work = [(target, part) for target in targets for part in range(_PARTS)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_compile_part, *piece) for piece in work]
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                yield number / len(work), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _compile_part(target: str, part: int) -> list[Usage]:
    return [
        Usage(
            case.kernel,
            str(case.dtype).removeprefix("torch."),
            case.config,
            target,
            compiled.registers,
            compiled.shared,
            compiled.spills,
        )
        for case, compiled in compile_cases(target, part, _PARTS)
    ]


def table(usages: Iterable[Usage]) -> list[list[str]]:
    """Return headings and rows: the most of all layouts, masks and activations."""
    registers: dict[tuple[str, str, Config], dict[str, int]] = defaultdict(dict)
    shared: dict[tuple[str, str, Config], int] = defaultdict(int)
    spills: dict[tuple[str, str, Config], int] = defaultdict(int)
    for usage in usages:
        key = usage[:3]
        of_target = registers[key]
        of_target[usage.target] = max(of_target.get(usage.target, 0), usage.registers)
        shared[key] = max(shared[key], usage.shared)
        spills[key] = max(spills[key], usage.spills)
    compiled_for = {target for of_target in registers.values() for target in of_target}
    targets = [target for target in TARGETS if target in compiled_for]
    headings = ["kernel", "type", "tile", "warps", *targets, "shared memory", "spills"]
    rows = [headings]
    for key in sorted(registers):
        kernel, dtype, config = key
        tile = f"{config.rows} x {config.columns}"
        numbers = [registers[key].get(target, 0) for target in targets]
        row = [kernel, dtype, tile, config.warps, *numbers, shared[key], spills[key]]
        rows.append([str(entry) for entry in row])
    return rows


def markdown(usages: Iterable[Usage]) -> str:
    """Return the page about the kernels."""
    headings, *rows = table(usages)
    lines = [
        "# What the kernels take",
        "",
        f"What `tritonbn kernels --markdown` printed, with Triton {triton.__version__}: for each",
        "configuration (rows and columns of a tile, warps of a program) the registers of a thread",
        "on each GPU, the bytes of shared memory of a program, and the bytes of registers spilled",
        "to local memory. Each is the most of all layouts, with and without mask and activation,",
        "compiled for 64 channels on a grid of 32x32; float16 is as bfloat16.",
        "",
        f"| {' | '.join(headings)} |",
        f"| {' | '.join(['---'] * 3 + ['---:'] * (len(headings) - 3))} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"
