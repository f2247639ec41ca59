#!/usr/bin/env bash
# Test and measure the kernels on this machine's GPU: `bash benchmarks/gpu.sh FOLDER`, about 6 minutes.
# The record (record.json) and the logs are written to FOLDER. PYTHON is the interpreter (default: python3).
# The tests use pytest-xdist if installed, with at most 4 processes, as each needs 1 GB of the GPU.
set -uo pipefail
folder=${1:?usage: bash benchmarks/gpu.sh FOLDER}
mkdir -p "$folder"
folder=$(realpath "$folder")
failed=0
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
python=${PYTHON:-python3}
workers=$("$python" -c "import xdist" 2>/dev/null && echo "-n $(($(nproc) < 4 ? $(nproc) : 4)) --dist loadfile")

step() { # name, time limit in seconds, command
    local name=$1 limit=$2 start=$SECONDS
    shift 2
    timeout -k 5 "$limit" "$@" >"$folder/$name.log" 2>&1
    local code=$?
    echo "== $name: exit $code, $((SECONDS - start)) s"
    if [[ $name == record && $code == 124 ]]; then
        echo "   the limit of $limit s is over; the record has what was measured until then"
    elif ((code != 0)); then
        failed=1
    fi
}

step tests "${TESTS_S:-150}" env TRITONBN_AUTOTUNE=0 "$python" -m pytest $workers -q -p no:cacheprovider \
    --tb=short tests/gpu tests/kernels/test_kernels.py tests/test_backends.py -k "not past_2_to_the_31"
grep -aE "^(FAILED|ERROR)|passed|failed" "$folder/tests.log" | cut -c1-240 | tail -25
step large 60 "$python" -m pytest -q -p no:cacheprovider --tb=short \
    tests/gpu tests/kernels/test_tuning.py -k "past_2_to_the_31 or test_tuning"
grep -aE "^(FAILED|ERROR)|passed|failed" "$folder/large.log" | cut -c1-240
step record "${RECORD_S:-180}" env COLUMNS=110 "$python" -m tritonbn.bench \
    --networks --growth --compiled --record "$folder/record.json"
tail -n "${RECORD_LINES:-220}" "$folder/record.log"
if command -v ncu >/dev/null; then
    step ncu 60 env TRITONBN_AUTOTUNE=0 ncu --clock-control none --csv --page raw \
        -k 'regex:column_statistics|normalize|column_sums|input_gradient|forward|backward|merge' \
        --metrics gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum,smsp__inst_executed.sum,smsp__issue_active.avg.pct_of_peak_sustained_active,sm__warps_active.avg.pct_of_peak_sustained_active,launch__registers_per_thread,dram__throughput.avg.pct_of_peak_sustained_elapsed \
        "$python" benchmarks/one_step.py
fi
if command -v compute-sanitizer >/dev/null; then
    step sanitizer 60 env TRITONBN_AUTOTUNE=0 compute-sanitizer --error-exitcode 9 "$python" -m pytest -q \
        -p no:cacheprovider tests/gpu -k "definition and float32 and (nearest or per_cell) and True-"
    grep -aE "ERROR SUMMARY|passed|failed" "$folder/sanitizer.log"
fi
exit "$failed"
