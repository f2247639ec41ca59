"""`tritonbn doctor`: what a bug report needs to know about this machine."""

import os
import platform
import warnings
from collections.abc import Callable

import torch
from rich.console import Console

from tritonbn.backends import choose_backend, has_triton
from tritonbn.bench.machine import counted, cpu_name, version_of

_PACKAGES = (
    "tritonbn", "torch", "triton", "numpy", "pandas", "scipy", "xarray", "matplotlib",
    "scikit-learn", "gstools", "rdata",
)  # fmt: skip
_OFFLINE_TARGET = "sm_90"


def diagnose() -> list[tuple[str, str]]:
    """Describe the versions, the devices and the kernels of this machine.

    A question that cannot be answered is answered by the first line of its error, so that the
    other rows are there when something is broken.

    Returns
    -------
    list of (str, str)
        What is described, and its description in one line.

    Examples
    --------
    >>> from tritonbn.doctor import diagnose
    >>> rows = dict(diagnose())
    >>> rows["backend, CPU tensor"]
    'native'
    """
    questions: dict[str, Callable[[], str]] = {
        "Python": platform.python_version,
        "operating system": platform.platform,
        "processor": _processor,
        "GPUs": _gpus,
        "kernels": _kernels,
        "backend, CPU tensor": lambda: choose_backend("auto", torch.empty(1)),
        "backend, GPU tensor": _gpu_backend,
        "tuned configurations": _tuning_cache,
        "downloaded data": _data_cache,
    }
    versions = [(name, version_of(name)) for name in _PACKAGES]
    return [*versions, *((name, _answer(question)) for name, question in questions.items())]


def run_doctor(console: Console) -> None:
    """Print the rows of `diagnose`, to be pasted into a bug report.

    Parameters
    ----------
    console : Console
        Where to print.
    """
    rows = diagnose()
    width = max(len(name) for name, _ in rows)
    for name, description in rows:
        console.print(
            f"{name:{width}}  {description}", markup=False, highlight=False, soft_wrap=True
        )


def _answer(question: Callable[[], str]) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return question()
    except Exception as error:
        return f"failed: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _processor() -> str:
    cores = counted(os.cpu_count() or 1, "core")
    return f"{cpu_name()}, {cores}, {counted(torch.get_num_threads(), 'thread')} of PyTorch"


def _gpus() -> str:
    if torch.cuda.is_available():
        return "; ".join(map(_gpu, range(torch.cuda.device_count())))
    if torch.backends.mps.is_available():
        return "mps"
    return "none that PyTorch can use"


def _gpu(index: int) -> str:
    properties = torch.cuda.get_device_properties(index)
    memory = f"{properties.total_memory / 2**30:.1f} GiB"
    if torch.version.hip is not None:
        return f"cuda:{index} {properties.name}, ROCm {torch.version.hip}, {memory}"
    capability = f"compute capability {properties.major}.{properties.minor}"
    return f"cuda:{index} {properties.name}, CUDA {torch.version.cuda}, {capability}, {memory}"


def _kernels() -> str:
    if not has_triton():
        return "not available: Triton is not installed (it has packages for Linux only)"
    if os.environ.get("TRITON_INTERPRET") == "1":
        _launch(torch.device("cpu"))
        return "interpreted, because TRITON_INTERPRET=1 is set"
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
        _launch(device)
        return f"compile and run on {device}"
    from tritonbn.kernels.offline.compiler import compiling_for

    with compiling_for(_OFFLINE_TARGET):
        _launch(torch.device("meta"))
    return f"compile for {_OFFLINE_TARGET} (there is no GPU to run them on)"


def _launch(device: torch.device) -> None:
    """Compile one kernel, and launch it on a small tensor."""
    from tritonbn.kernels.configs import suitable_configs
    from tritonbn.kernels.problem import Problem
    from tritonbn.kernels.scratch import Scratch

    problem = Problem(
        batch=8,
        frames=1,
        channels=4,
        cells=16,
        segments=16,
        largest=1,
        outside=0,
        dtype=torch.float32,
        channels_last=False,
    )
    config = suitable_configs("one_pass_forward", problem)[0]
    Scratch(problem, device).launch("one_pass_forward", config)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _gpu_backend() -> str:
    if not torch.cuda.is_available():
        return "none: there is no CUDA or ROCm GPU"
    return choose_backend("auto", torch.empty(1, device="cuda"))


def _tuning_cache() -> str:
    if not has_triton():
        return "none: Triton is not installed"
    from triton import knobs

    return str(knobs.cache.dir)


def _data_cache() -> str:
    from data_prep.download import cache_folder

    return str(cache_folder())
