"""The table of registers and memory that each kernel uses, made without a GPU."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import islice
from multiprocessing import get_context
from typing import NamedTuple

import triton

from tritonbn.kernels.configs import Config
from tritonbn.kernels.offline.cases import Case, cases, compile_cases
from tritonbn.kernels.offline.compiler import TARGETS, Compiled
from tritonbn.kernels.offline.sass import disassemble, repeated_instructions
from tritonbn.tables import LEFT, RIGHT, Rows, markdown

COUNTED = "sm_90"
"""The target for which instructions are counted."""

_PARTS = 16  # parts of the work per target, each compiled by one task of the process pool


class Usage(NamedTuple):
    """Registers and memory of a kernel; see `tritonbn.kernels.offline.compiler.Compiled`.

    `instructions` are those for each value of a tile; see `per_value`.
    """

    kernel: str
    dtype: str
    config: Config
    target: str
    registers: int
    shared: int
    spills: int
    instructions: float | None


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
            per_value(case, compiled),
        )
        for case, compiled in compile_cases(target, islice(cases(), part, None, _PARTS))
    ]


def per_value(case: Case, compiled: Compiled) -> float | None:
    """Return the instructions for each value of a tile, or None if they are not counted.

    They are counted on sm_90, without mask and activation in contiguous memory.
    """
    plain = not (case.channels_last or case.masked or case.activation)
    if compiled.target != COUNTED or compiled.cubin is None or not plain:
        return None
    rows, columns, warps = case.config
    return repeated_instructions(disassemble(compiled.cubin)) * 32 * warps / (rows * columns)


def table(usages: Iterable[Usage]) -> Rows:
    """Return headings and rows: the maxima over all layouts, masks and activations.

    Instructions are those of sm_90, if it is among the targets.
    """
    groups: dict[tuple[str, str, Config], list[Usage]] = defaultdict(list)
    for usage in usages:
        groups[usage[:3]].append(usage)
    compiled_for = {usage.target for group in groups.values() for usage in group}
    targets = [target for target in TARGETS if target in compiled_for]
    counted = COUNTED in targets
    headings = ["kernel", "type", "tile", "warps", *targets, "shared memory", "spills"]
    rows = [headings + ["instructions"] * counted]
    for (kernel, dtype, config), group in sorted(groups.items()):
        registers = [
            max((usage.registers for usage in group if usage.target == target), default=0)
            for target in targets
        ]
        shared, spills = (max(getattr(u, name) for u in group) for name in ("shared", "spills"))
        row = [kernel, dtype, f"{config.rows} x {config.columns}", config.warps, *registers]
        numbers = [u.instructions for u in group if u.instructions]
        counts = [f"{max(numbers):.1f}" if numbers else "-"] * counted
        rows.append([*(str(entry) for entry in (*row, shared, spills)), *counts])
    return rows


def page(usages: Iterable[Usage]) -> str:
    """Return the page KERNELS.md."""
    rows = table(usages)
    alignment = [LEFT] * 3 + [RIGHT] * (len(rows[0]) - 3)
    lines = [
        "# Registers and memory of the kernels",
        "",
        f"Output of `tritonbn kernels --markdown`, with Triton {triton.__version__}: for each",
        "configuration (rows x columns of a tile, warps per program) the registers per thread on",
        "each GPU, the bytes of shared memory per program, and the bytes per thread that are",
        "spilled from registers to local memory. Each number is the maximum over all memory",
        "layouts, with and without mask and activation, compiled for 64 channels and a 32x32 grid.",
        "float16 uses the same tiles as bfloat16. The instructions are those of the longest loop,",
        "or of the whole kernel if it has none, for each value of the tile on sm_90, without mask",
        "and activation in contiguous memory; in float64 only what needs the most registers is",
        "compiled.",
        "",
        markdown(rows, alignment),
    ]
    return "\n".join(lines) + "\n"
