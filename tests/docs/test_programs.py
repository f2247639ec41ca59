"""The Python code of the README and of some pages runs as a program, from top to bottom."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from works_with.vision import package

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "pooling.md",
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PROGRAMS = {page.stem: "\n".join(BLOCK.findall(page.read_text("utf-8"))) for page in PAGES}
NEEDED = {"lightning": ["torchvision", "lightning"], "export": ["onnx", "onnxscript"]}
WITH_TORCHVISION = f"""\
import runpy, sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from works_with.vision import package
package("torchvision")  # which Lightning imports
runpy.run_path(sys.argv[1], run_name="__main__")
"""
LAUNCHERS = {
    "distributed": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    "lightning": ["-c", WITH_TORCHVISION],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, program in PROGRAMS.items() if program])
def test_the_code_of_a_page_runs(name, tmp_path):
    for module in NEEDED.get(name, []):
        package(module)
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[name], encoding="utf-8")
    result = subprocess.run(
        [sys.executable, *LAUNCHERS.get(name, []), str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
