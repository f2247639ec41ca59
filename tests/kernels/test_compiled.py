"""The shipped kernels as compiled for GPUs: registers, memory accesses, and their documentation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import triton

from tritonbn.kernels import lstm_launch
from tritonbn.kernels.configs import (
    MERGE_CONFIGS,
    ONE_PASS_KERNELS,
    TILE_KERNELS,
    Config,
    one_pass_configs,
    tile_configs,
)
from tritonbn.kernels.offline import usage
from tritonbn.kernels.offline.cases import DTYPES
from tritonbn.kernels.offline.compiler import TARGETS
from tritonbn.kernels.offline.sass import repeated_instructions

TRITON = tuple(map(int, triton.__version__.split(".")[:2]))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TRITON < (3, 5), reason="this Triton has no linker for AMD GPUs"),
]

NVIDIA = [name for name, target in TARGETS.items() if target.backend == "cuda"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """What `compile_shipped.py` finds, by two processes."""
    directory = tmp_path_factory.mktemp("compiled")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(directory / "cache")
    script = Path(__file__).with_name("compile_shipped.py")
    processes = []
    for part in ("0", "1"):
        out = directory / f"{part}.json"
        command = [sys.executable, script, part, out]
        processes.append((subprocess.Popen(command, env=environment), out))
    found = []
    for process, out in processes:
        assert process.wait() == 0
        found += json.loads(out.read_text())
    return [{**record, "config": Config(*record["config"])} for record in found]


@pytest.fixture(params=TARGETS)
def of_target(request, records):
    return [record for record in records if record["target"] == request.param]


def test_every_shipped_configuration_is_compiled(of_target):
    compiled = {(r["kernel"], r["dtype"], r["config"]) for r in of_target}
    shipped = set()
    for dtype in DTYPES:
        name = str(dtype).removeprefix("torch.")
        for kernel in TILE_KERNELS:
            shipped |= {(kernel, name, config) for config in tile_configs(kernel, dtype)}
        for kernel in ONE_PASS_KERNELS:
            for entries in range(1, 5000, 8):
                configs = one_pass_configs(kernel, dtype, entries)
                shipped |= {(kernel, name, config) for config in configs}
        for kernel in ("merge_statistics", "merge_sums"):
            shipped |= {(kernel, name, config) for config in MERGE_CONFIGS}
        for kernel in ("lstm_forward", "lstm_backward"):
            shipped.add((kernel, name, Config(1, lstm_launch.BLOCK, lstm_launch.WARPS)))
    assert compiled == shipped


@pytest.mark.skipif(TRITON in ((3, 5), (3, 9)), reason="this Triton spills up to 32 bytes")
def test_nothing_is_spilled(of_target):
    """With mask and activation, four registers of `one_pass_backward`: its tiles are worth that."""
    for r in of_target:
        most = 16 if r["kernel"] == "one_pass_backward" and not r["plain"] else 0
        assert r["spills"] <= most, r
        assert not r["local"], r


def test_no_atomic_operation(of_target):
    assert [r for r in of_target if r["atomic"]] == []


def test_a_program_fits_into_a_multiprocessor(of_target):
    """65,536 registers (AMD: 4 x 512 rows of 64), 255 for a thread, and 48 KiB of shared memory."""
    for r in of_target:
        threads = 32 * r["config"].warps if r["target"] in NVIDIA else 64 * r["config"].warps
        total = 65536 if r["target"] in NVIDIA else 2048 * 64
        assert r["registers"] <= min(256, total // threads), r
        assert r["shared"] <= 48 << 10, r


def test_contiguous_tensors_are_accessed_by_16_bytes(records):
    """As many wide loads and stores as the tile of each tensor needs."""
    tensors = {
        "column_statistics": (1, 0),
        "normalize": (1, 1),
        "column_sums": (2, 0),
        "input_gradient": (2, 1),
        "one_pass_forward": (1, 1),
        "one_pass_backward": (2, 1),
        "lstm_forward": (9, 6),
        "lstm_backward": (8, 5),
    }
    looked_at = set()
    for r in records:
        if r["target"] not in NVIDIA or r["channels_last"] or r["kernel"] not in tensors:
            continue
        if r["dtype"] not in ("float32", "bfloat16"):
            continue
        loads, stores = tensors[r["kernel"]]
        rows, columns, warps = r["config"]
        accesses = max(1, rows * columns * r["itemsize"] // (16 * 32 * warps))
        assert r["wide_loads"] >= loads * accesses, r
        assert r["wide_stores"] >= stores * accesses, r
        looked_at.add(r["kernel"])
    assert looked_at == set(tensors)


@pytest.mark.parametrize("target", NVIDIA)
def test_only_neighbouring_cells_of_a_mask_are_read_at_once(target):
    """Four columns are neighbouring cells in contiguous memory alone, where no row ends in them."""
    assert output_of("compile_masks.py", target) == {
        "contiguous 1023": [8],
        "contiguous 1024": [32],
        "channels_last 1023": [8],
        "channels_last 1024": [8],
    }


def test_merging_the_statistics_of_ranks_spills_no_register():
    assert output_of("compile_ranks.py") == dict.fromkeys(TARGETS, 0)


def test_the_gradient_through_pooled_statistics_spills_nothing():
    assert output_of("compile_pooled.py") == dict.fromkeys(TARGETS, 0)


def output_of(script, *arguments):
    """Run a program of this folder without Triton's interpreter."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, Path(__file__).with_name(script), *arguments]
    return json.loads(
        subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    )


def test_the_documented_table_is_the_one_generated(records):
    """The columns of sm_90, for which all cases are compiled here."""
    text = (Path(usage.__file__).parents[1] / "KERNELS.md").read_text(encoding="utf-8")
    if f"Triton {triton.__version__}:" not in text:
        pytest.skip(f"the table was made with another Triton than {triton.__version__}")
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    documented = [line.strip("| ").split(" | ") for line in lines]
    generated = usage.table(
        usage.Usage(*(record[name] for name in usage.Usage._fields))
        for record in records
        if record["target"] == usage.COUNTED
    )
    names = ("kernel", "type", "tile", "warps", usage.COUNTED, "instructions")
    assert picked(documented, names) == picked(generated, names)


def picked(table, names):
    """Return some columns of a table whose first row is its header."""
    places = [table[0].index(name) for name in names]
    return [[row[place] for place in places] for row in table]


def test_a_value_needs_at_least_its_share_of_the_loads_and_stores(records):
    """Each thread moves 16 bytes at once, and needs one instruction per value to compute."""
    counted = [r for r in records if r["instructions"] is not None]
    assert {r["kernel"] for r in counted} == {r["kernel"] for r in records}
    assert all(r["instructions"] > 1 + r["itemsize"] / 16 for r in counted)


LOOP = """
.text.kernel:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LDG.E.128 R4, [R2.64] ;
        /*0020*/                   FADD R8, R8, R4 ;
        /*0030*/               @P0 BRA `(.L_x_1) ;
        /*0040*/                   STG.E [R2.64], R8 ;
        /*0050*/                   EXIT ;
.L_x_2:
        /*0060*/                   BRA `(.L_x_2);
        /*0070*/                   NOP;
"""


@pytest.mark.parametrize(("code", "count"), [(LOOP, 3), (LOOP.replace("@P0 BRA", "CALL"), 8)])
def test_instructions_of_the_longest_loop(code, count):
    assert repeated_instructions(code) == count
