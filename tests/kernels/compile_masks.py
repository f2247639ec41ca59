"""Compile a kernel with masks, and print as JSON how many bits each load of the mask takes.

A program of its own, as the tests run with Triton's interpreter, which compiles nothing. All other
loads of this kernel are of float64.
"""

import json
import re
import sys

import torch

from tritonbn.kernels.configs import tile_configs
from tritonbn.kernels.offline.compiler import compiling_for
from tritonbn.kernels.problem import Problem
from tritonbn.kernels.scratch import Scratch


def main(target):
    widths = {}
    for channels_last in (False, True):
        for cells in (1023, 1024):
            problem = Problem(128, 1, 64, cells, cells, 1, 0, torch.float64, channels_last)
            scratch = Scratch(problem, torch.device("meta"), masked=True)
            config = tile_configs("column_statistics", problem.dtype)[0]
            with compiling_for(target) as compiled:
                scratch.launch("column_statistics", config)
            loads = re.findall(r"\bld\.global\S*?\.(?:v(\d)\.)?[bu](8|16|32)\b", compiled[0].code)
            found = {int(number or 1) * int(bits) for number, bits in loads}
            layout = "channels_last" if channels_last else "contiguous"
            widths[f"{layout} {cells}"] = sorted(found)
    print(json.dumps(widths))


if __name__ == "__main__":
    main(sys.argv[1])
