"""Compile kernels for GPUs that are not present, and read what the compiled code uses."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from tritonbn.kernels.offline.sass import TOOLS

TARGETS = {
    "sm_75": GPUTarget("cuda", 75, 32),
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
"""The GPUs for which the tests compile all kernels."""


def target_of(name: str) -> GPUTarget:
    """Return a target of `TARGETS`, or that of any NVIDIA GPU, such as ``"sm_86"``."""
    return TARGETS.get(name) or GPUTarget("cuda", int(name.removeprefix("sm_")), 32)


@dataclass(frozen=True)
class Compiled:
    """A compiled kernel: its code and its use of registers and memory.

    Attributes
    ----------
    kernel, target : str
    code : str
        PTX for NVIDIA GPUs, assembly for AMD GPUs.
    warps : int
        Warps per program.
    registers : int
        32-bit registers per thread.
    shared : int
        Bytes of shared memory per program.
    spills : int
        Bytes of local memory per thread, for spilled registers and arrays.
    cubin : bytes or None
        The machine code for an NVIDIA GPU.
    """

    kernel: str
    target: str
    code: str
    warps: int
    registers: int
    shared: int
    spills: int
    cubin: bytes | None


class _AbsentGPU:
    """Replaces Triton's driver of a GPU: it returns the target, and cannot launch anything."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_current_target(self) -> GPUTarget:
        return target_of(self.name)

    def get_current_device(self) -> str:
        return self.name

    def get_current_stream(self, device: str) -> int:
        return 0


@contextmanager
def compiling_for(name: str) -> Iterator[list[Compiled]]:
    """Within this context a launch only compiles the kernel and appends it to the list."""
    results: list[Compiled] = []
    launch, drivers = JITFunction.run, vars(driver).copy()

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        if target_of(name).backend == "hip":
            options.pop("maxnreg", None)
        kernel = launch(self, *args, grid=grid, warmup=True, **options)
        results.append(_look_inside(self.fn.__qualname__, name, kernel))
        return kernel

    JITFunction.run = compile_only
    driver.set_active(_AbsentGPU(name))
    try:
        yield results
    finally:
        JITFunction.run = launch
        vars(driver).update(drivers)


def _look_inside(kernel: str, target: str, compiled: Any) -> Compiled:
    warps, shared = compiled.metadata.num_warps, compiled.metadata.shared
    if target_of(target).backend == "hip":
        code = compiled.asm["amdgcn"]
        properties = dict(re.findall(r"^\s+\.(\w+):\s+(\d+)$", code, re.MULTILINE))
        registers = int(properties["vgpr_count"])
        spills = int(properties["private_segment_fixed_size"])
        return Compiled(kernel, target, code, warps, registers, shared, spills, None)
    registers, local = _resources(compiled.asm["cubin"])
    numbers = (warps, registers, shared, local)
    return Compiled(kernel, target, compiled.asm["ptx"], *numbers, compiled.asm["cubin"])


def _resources(cubin: bytes) -> tuple[int, int]:
    """Return registers and bytes of local memory per thread, read with `cuobjdump`."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run(
            [TOOLS / "cuobjdump", "-res-usage", file.name],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    usage = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", text))
    return int(usage["REG"]), int(usage["STACK"]) + int(usage["LOCAL"])
