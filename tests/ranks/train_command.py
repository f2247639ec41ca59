"""The command ``train`` with few steps; ``torchrun`` starts this program in several processes.

If the first argument is "once", and not "never", the last process kills itself at step 4 of the
first attempt of ``torchrun``.
"""

import os
import signal
import sys

from tritonbn.cli import main
from tritonbn.experiment.networks import train
from tritonbn.experiment.networks.presets import PRESETS

TINY = {"steps": 6, "batch_size": 5, "validate_every": 2, "test_times": 28, "validation_times": 2}


def kill_last_process():
    original = train._loss
    step = 0

    def loss(*arguments):
        nonlocal step
        step += 1
        last = os.environ["RANK"] == str(int(os.environ["WORLD_SIZE"]) - 1)
        if last and step == 4 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    train._loss = loss


if __name__ == "__main__":
    PRESETS["quick"] = TINY
    killed, *arguments = sys.argv[1:]
    if killed == "once":
        kill_last_process()
    sys.exit(main(arguments))
