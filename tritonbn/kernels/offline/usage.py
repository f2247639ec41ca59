"""The table of registers and memory that each kernel uses, made without a GPU."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import NamedTuple

import triton

from tritonbn.kernels.configs import Config
from tritonbn.kernels.offline.cases import compile_cases
from tritonbn.kernels.offline.compiler import TARGETS

_PARTS = 16  # parts of the work per target, each compiled by one task of the process pool


class Usage(NamedTuple):
    """Registers and memory of a kernel; see `tritonbn.kernels.offline.compiler.Compiled`."""

    kernel: str
    dtype: str
    config: Config
    target: str
    registers: int
    shared: int
    spills: int


def compile_all(targets: Sequence[str], jobs: int) -> Iterator[tuple[float, list[Usage]]]:
    """Compile all cases for these targets in `jobs` processes.

    Yields
    ------
    done : float
        The completed fraction of the work; 1.0 at the end.
    usages : list of Usage
        New results.
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
    """Return headings and rows: the maxima over all layouts, masks and activations."""
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
    """Return the page KERNELS.md."""
    headings, *rows = table(usages)
    lines = [
        "# Registers and memory of the kernels",
        "",
        f"Output of `tritonbn kernels --markdown`, with Triton {triton.__version__}: for each",
        "configuration (rows x columns of a tile, warps per program) the registers per thread on",
        "each GPU, the bytes of shared memory per program, and the bytes per thread that are",
        "spilled from registers to local memory. Each number is the maximum over all memory",
        "layouts, with and without mask and activation, compiled for 64 channels and a 32x32 grid.",
        "float16 uses the same tiles as bfloat16.",
        "",
        f"| {' | '.join(headings)} |",
        f"| {' | '.join(['---'] * 3 + ['---:'] * (len(headings) - 3))} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"
