"""The networks of the experiment, trained by two processes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from every_network import config_of
from ranks import networks
from ranks.processes import run_ranks

from tritonbn.experiment.networks.data_parallel import Ranks
from tritonbn.experiment.networks.network import Network
from tritonbn.experiment.networks.norms import NORMS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distribution"),
]

SIZES = {"steps": 1, "batch_size": 5, "validate_every": 1, "validation_times": 5}
RESIDUAL = Network("cnn", "residual", "convolution")
# Symmetric networks, which turn every part of a batch differently, are not among them.
ARMS = [
    *((Network("cnn"), norm, "paper") for norm in NORMS if norm not in ("embedding", "recurrent")),
    (Network("convlstm"), "local", "masked"),
    (Network("convlstm"), "local", "unseen"),
    (Network("cnn-lstm"), "local", "masked"),
    (RESIDUAL, "local", "masked"),
    (RESIDUAL, "global", "masked"),
    (replace(RESIDUAL, backbone="convlstm"), "local", "masked"),
    (replace(RESIDUAL, backbone="convlstm"), "recurrent", "masked"),
    (Network("convlstm"), "recurrent", "unseen"),
]
CONFIGS = [config_of(*arm, **SIZES) for arm in ARMS]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    return run_ranks(networks.train, 2, folder, CONFIGS, str(folder))


@pytest.mark.parametrize("number", range(len(CONFIGS)), ids=[config.name for config in CONFIGS])
def test_two_processes_compute_the_gradients_of_one(together, number, tmp_path):
    """The first moments of Adam are the gradients. Five samples are divided into two and three.

    Later steps are not compared: Adam enlarges the rounding errors of gradients that are zero, such
    as those of a bias before a normalization.
    """
    first, second = (of_rank[number] for of_rank in together)
    ((losses, scores, _, adam),) = networks.train([CONFIGS[number]], tmp_path)
    torch.testing.assert_close(first[0], losses, rtol=1e-6, atol=0)
    torch.testing.assert_close(first[1], scores, rtol=1e-3, atol=0)
    gradients = [name for name in adam if name.endswith("exp_avg")]
    assert gradients
    largest = max(float(adam[name].abs().max()) for name in gradients)
    for name in gradients:
        torch.testing.assert_close(first[3][name], adam[name], rtol=1e-4, atol=1e-5 * largest)
    assert all(torch.equal(value, second[2][name]) for name, value in first[2].items())


def test_more_processes_than_samples(tmp_path):
    config = replace(CONFIGS[0], batch_size=2)
    for message in run_ranks(networks.train_too_small_a_batch, 3, tmp_path, config, str(tmp_path)):
        assert message == "batch_size must be at least the number of processes, 3, got 2"


@pytest.mark.parametrize(("samples", "size"), [(5, 2), (8, 4), (7, 7), (9, 4)])
def test_parts_are_the_batch(samples, size):
    parts = [range(samples)[Ranks(rank, size).part(samples)] for rank in range(size)]
    assert [sample for part in parts for sample in part] == [*range(samples)]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def torchrun(killed, out, *command):
    program = Path(__file__).with_name("train_command.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = ["--nproc-per-node", "2", "--max-restarts", "1", str(program), killed]
    return subprocess.run(
        [*launcher, *options, *command, "--grid", "8x8", "--device", "cpu", "--out", str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


TRAIN = ("train", "--backbone", "convlstm")  # at one time, some weights have no gradient


def history_in(out):
    (file,) = out.glob("runs/*/result.json")
    return json.loads(file.read_text(encoding="utf-8"))["history"]


def test_torchrun(tmp_path):
    plain, killed = tmp_path / "plain", tmp_path / "killed"
    done = torchrun("never", plain, *TRAIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The run is in") == 1
    assert done.stdout.count("spRMSE") == 1
    restarted = torchrun("once", killed, *TRAIN)
    assert restarted.returncode == 0
    assert "SIGKILL" in restarted.stderr or "exitcode: -9" in restarted.stderr
    assert history_in(killed) == history_in(plain)
    again = torchrun("never", plain, *TRAIN)
    assert "The run is finished; there is nothing to train." in again.stdout


def test_an_error_of_the_first_process_is_one_line(tmp_path):
    done = torchrun("never", tmp_path / "out", *TRAIN, "--data", "nowhere")
    assert done.returncode != 0
    assert done.stderr.count("tritonbn: error: ") == 2  # once in each attempt
    assert "[rank1]: Traceback" not in done.stderr


def test_torchrun_of_another_command(tmp_path):
    done = torchrun("never", tmp_path, "compare")
    assert done.returncode != 0
    assert "use --jobs or --scheduler without torchrun" in done.stderr
