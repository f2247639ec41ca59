"""Count the instructions of compiled kernels for NVIDIA GPUs."""

import re
import subprocess
import tempfile
from pathlib import Path

import triton

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
_LABEL = re.compile(r"\s*(\.L\w+):")
_INSTRUCTION = re.compile(r"\s*/\*[0-9a-f]+\*/\s+(.*?)\s*;")
_BRANCH = re.compile(r"\bBRA\b.*`\((\.L\w+)\)")


def disassemble(cubin: bytes) -> str:
    """Return the machine code (SASS) of a kernel as text, from the `nvdisasm` of Triton."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [str(TOOLS / "nvdisasm"), "-c", file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def repeated_instructions(code: str) -> int:
    """Return the number of instructions of the longest loop, or of the kernel if it has no loop.

    The last instruction of every kernel is a branch to itself, which is not a loop.
    """
    labels: dict[str, int] = {}
    count = longest = 0
    for line in code.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = count
        elif instruction := _INSTRUCTION.match(line):
            count += 1
            branch = _BRANCH.search(instruction[1])
            if branch and branch[1] in labels:
                length = count - labels[branch[1]]
                longest = max(longest, length if length > 1 else 0)
    return longest or count
