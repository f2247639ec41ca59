import os

import pytest
import torch

from tritonbn.experiment.study.workers import local_processes


def test_runs_have_the_same_number_of_threads_however_few_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for runs in (1, 2):
        with local_processes(2, runs) as workers:
            assert workers.executor.submit(torch.get_num_threads).result() == 2
