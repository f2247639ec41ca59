"""Compile the gradient through pooled statistics for all targets, and print its spills as JSON.

A program of its own, as the tests run with Triton's interpreter, which compiles nothing.
"""

import json

import torch

from tritonbn.kernels import stages
from tritonbn.kernels.configs import tile_configs
from tritonbn.kernels.offline.compiler import TARGETS, compiling_for
from tritonbn.kernels.problem import Problem
from tritonbn.kernels.scratch import Scratch

META = torch.device("meta")


def main():
    spills = dict.fromkeys(TARGETS, 0)
    for target in TARGETS:
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            problem = Problem(128, 1, 64, 1024, 1024, 1, 0, dtype, channels_last=True)
            scratch = Scratch(problem, META, masked=True, activation="silu")
            for config in tile_configs("input_gradient", dtype):
                with compiling_for(target) as compiled:
                    stages.input_gradient(
                        problem,
                        scratch.x,
                        scratch.x,
                        scratch.mask,
                        scratch.partition.ids,
                        scratch.statistics,
                        scratch.affine,
                        scratch.gradients,
                        config,
                        pooled=True,
                    )
                spills[target] += compiled[0].spills
    print(json.dumps(spills))


if __name__ == "__main__":
    main()
