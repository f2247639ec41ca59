"""What was measured on: the processor or GPU, and the versions."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def cpu_name() -> str:
    """Return the name of the processor, which Linux gives in /proc/cpuinfo only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def counted(number: int, noun: str) -> str:
    """Return a number with a regular noun, such as ``1 core`` and ``2 cores``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def version_of(package: str) -> str:
    """Return the version of an installed package, or that it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def machine_of(device: torch.device) -> dict[str, Any]:
    """Return the entries of a record that describe a device and the software."""
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": version_of("triton"),
    }
    if device.type != "cuda":
        return {"device": cpu_name(), "threads": torch.get_num_threads(), "versions": versions}
    properties = torch.cuda.get_device_properties(device)
    versions["cuda"] = str(torch.version.cuda or torch.version.hip)
    return {
        "device": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "versions": versions,
    }


def words_of(record: dict[str, Any]) -> str:
    """Return the machine of a record in a line.

    Parameters
    ----------
    record : dict
        With the entries of `machine_of`.
    """
    threads = f", {counted(record['threads'], 'thread')}" if "threads" in record else ""
    versions = record["versions"]
    return (
        f"{record['device']}{threads}; Python {versions['python']}, torch {versions['torch']}, "
        f"Triton {versions['triton']}"
    )
