import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import sys

import torch

from tritonbn.experiment.networks.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
for repeat in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
def test_memory_is_fetched_from_the_system_only_once():
    """Count the page faults of the last of five tensors of 64 MiB, which are freed one by one."""

    def faults(setting):
        command = [sys.executable, "-c", PROGRAM, setting]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    assert faults("kept") < 10
    assert faults("default") >= 32  # huge pages of 2 MiB, at most
