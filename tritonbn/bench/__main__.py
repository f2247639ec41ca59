"""``python -m tritonbn.bench`` is ``tritonbn bench`` without what the experiment needs."""

import argparse

import torch
from rich.console import Console

from tritonbn.bench.command import add_options, run_bench

if __name__ == "__main__":
    parser = argparse.ArgumentParser("tritonbn.bench", description="Compare the speed of LocalBN.")
    parser.add_argument("--device", type=torch.device)
    add_options(parser)
    run_bench(parser.parse_args(), Console())
