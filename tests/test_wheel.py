"""The wheel has all files of the packages, and what it has is enough to work with."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """\
import sys
import data_prep, tritonbn
from data_prep.page import page
from tritonbn.experiment import compare

for package in (data_prep, tritonbn):
    assert package.__file__.startswith(sys.argv[1]), package.__file__
city = data_prep.load_city("synthetic", days=7, grid=(8, 8))
assert page(city)
compare(city, backbones=["cnn"], designs=["published"], norms=["local"], baselines=["idw"],
        protocols=["masked"], seeds=1, steps=2, test_times=40, progress=False, directory="results")
"""


@pytest.fixture
def wheel(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(*tmp_path.glob("*.whl")) as archive:
        archive.extractall(tmp_path / "installed")
    return tmp_path / "installed"


def files_of(root):
    packages = (root / "tritonbn", root / "data_prep")
    files = {path.relative_to(root) for p in packages for path in p.rglob("*") if path.is_file()}
    return {path for path in files if path.parent.name != "__pycache__"}


@pytest.mark.slow
def test_the_wheel_has_all_files_and_works(wheel, tmp_path):
    assert files_of(wheel) == files_of(ROOT)
    assert {path.name for path in wheel.glob("*.dist-info/licenses/*")} == {
        "LICENSE",
        "LICENSE-CC-BY-4.0",
    }
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, wheel],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "results" / "report.html").exists()
