"""Compile the merging of eight ranks for all targets, and print the register spills as JSON.

A program of its own, as the tests run with Triton's interpreter, which compiles nothing.
"""

import json

import torch

from tritonbn.kernels.merging import merge_ranks
from tritonbn.kernels.offline.compiler import TARGETS, compiling_for
from tritonbn.ranks import Gathered
from tritonbn.tensors import Running

META = torch.device("meta")


def main():
    values = torch.empty(8, 64, 1024, dtype=torch.float64, device=META)
    gathered = Gathered(values, values, values[:, 0])
    running = Running(
        torch.empty(64, 1024, device=META), torch.empty(64, 1024, device=META), None, 0.1
    )
    spills = {}
    for target in TARGETS:
        with compiling_for(target) as compiled:
            merge_ranks(gathered, running)
        spills[target] = compiled[0].spills
    print(json.dumps(spills))


if __name__ == "__main__":
    main()
