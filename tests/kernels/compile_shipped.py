"""Compile every second shipped kernel, and write what was found to a JSON file.

    python compile_shipped.py 0|1 OUT

For sm_90 these are all cases, and for the other targets each configuration once, with all options.
A program of its own, as the tests run with Triton's interpreter, which compiles nothing.
"""

import json
import re
import sys
from pathlib import Path

from tritonbn.kernels.offline.cases import cases, compile_cases
from tritonbn.kernels.offline.compiler import TARGETS
from tritonbn.kernels.offline.usage import COUNTED, per_value


def wide_accesses(code, instruction):
    """Count accesses to global memory of 16 bytes at least, in PTX."""
    found = re.findall(rf"\b{instruction}\.global\S*\.v(\d)\.[bf](\d+)", code)
    return sum(int(number) * int(bits) >= 128 for number, bits in found)


def main(part, out):
    every = list(cases())
    with_options = list({(case.kernel, case.dtype, case.config): case for case in every}.values())
    records = []
    for target in TARGETS:
        some = every if target == COUNTED else with_options
        for case, compiled in compile_cases(target, some[part::2]):
            code = compiled.code
            records.append(
                {
                    "kernel": case.kernel,
                    "dtype": str(case.dtype).removeprefix("torch."),
                    "itemsize": case.dtype.itemsize,
                    "config": case.config,
                    "channels_last": case.channels_last,
                    "plain": not case.masked and case.activation is None,
                    "target": target,
                    "registers": compiled.registers,
                    "shared": compiled.shared,
                    "spills": compiled.spills,
                    "instructions": per_value(case, compiled),
                    "wide_loads": wide_accesses(code, "ld"),
                    "wide_stores": wide_accesses(code, "st"),
                    "local": bool(re.search(r"\b(ld|st)\.local|\.local \.|\bscratch_", code)),
                    "atomic": bool(re.search(r"\b(atom|red)\.|_atomic_", code)),
                }
            )
    Path(out).write_text(json.dumps(records))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
