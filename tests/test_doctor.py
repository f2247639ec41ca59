"""`tritonbn doctor` describes any machine, also one on which something is missing or broken."""

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tritonbn import doctor
from tritonbn.bench import machine


def in_a_process(first: str = "", **environment: str) -> dict[str, str]:
    """Run doctor in a process of its own, and return what it prints, row by row."""
    code = (
        f"{first}\nimport rich.console, tritonbn.doctor as d\nd.run_doctor(rich.console.Console())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    rows = (re.split(r"\s{2,}", line, maxsplit=1) for line in result.stdout.splitlines())
    return dict(rows)


def test_versions_are_those_of_the_installed_packages() -> None:
    rows = dict(doctor.diagnose())
    assert rows["Python"] == platform.python_version()
    for package in ("tritonbn", "torch", "numpy", "pandas"):
        assert rows[package] == metadata.version(package)


@pytest.mark.parametrize(("threads", "words"), [(1, "1 thread of"), (2, "2 threads of")])
def test_threads_are_counted(threads: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert dict(doctor.diagnose())["processor"].endswith(f", {words} PyTorch")


def test_a_package_that_is_missing_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.version

    def version(package: str) -> str:
        if package == "scikit-learn":
            raise metadata.PackageNotFoundError(package)
        return installed(package)

    monkeypatch.setattr(machine, "version", version)
    rows = dict(doctor.diagnose())
    assert rows["scikit-learn"] == "not installed"
    assert rows["numpy"] == installed("numpy")


def test_a_kernel_is_compiled_without_a_gpu() -> None:
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    rows = in_a_process(TRITON_INTERPRET="0", CUDA_VISIBLE_DEVICES="")
    assert rows["kernels"] == "compile for sm_90 (there is no GPU to run them on)"
    assert rows["GPUs"] == "none that PyTorch can use"
    assert rows["backend, GPU tensor"] == "none: there is no CUDA or ROCm GPU"


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are interpreted without a GPU only")
def test_interpreted_kernels_are_said_to_be() -> None:
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    assert dict(doctor.diagnose())["kernels"] == "interpreted, because TRITON_INTERPRET=1 is set"


def test_without_triton_everything_else_is_described() -> None:
    """A None in sys.modules makes `import triton` fail as if it were not there."""
    rows = in_a_process("import sys; sys.modules['triton'] = None")
    assert "Triton is not installed" in rows["kernels"]
    assert "Triton is not installed" in rows["tuned configurations"]
    assert rows["backend, CPU tensor"] == "native"


def test_an_error_is_told_by_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="Triton has packages for Linux only")

    def fail(*arguments: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    from tritonbn.kernels.scratch import Scratch

    monkeypatch.setattr(Scratch, "launch", fail)
    rows = dict(doctor.diagnose())
    assert rows["kernels"] == "failed: RuntimeError: Failed to find C compiler."


def test_a_gpu_is_named_with_capability_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        name, major, minor, total_memory = "NVIDIA H100", 9, 0, 80 << 30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties)
    monkeypatch.setattr(torch.version, "cuda", "12.9")
    monkeypatch.setattr(torch.version, "hip", None)
    first, second = dict(doctor.diagnose())["GPUs"].split("; ")
    assert first == "cuda:0 NVIDIA H100, CUDA 12.9, compute capability 9.0, 80.0 GiB"
    assert second.startswith("cuda:1 NVIDIA H100")


def test_the_folder_of_downloads_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRITONBN_DATA", str(tmp_path))
    assert dict(doctor.diagnose())["downloaded data"] == str(tmp_path)


def test_each_row_is_printed_as_one_line(tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    with page.open("w") as file:
        doctor.run_doctor(Console(file=file, width=20))
    lines = page.read_text().splitlines()
    assert [line.split("  ")[0] for line in lines] == [name for name, _ in doctor.diagnose()]
