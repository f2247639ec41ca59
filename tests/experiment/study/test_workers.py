import os

import pytest
import torch

from tritonbn.experiment.study.workers import local_processes


def test_runs_have_the_same_number_of_threads_however_few_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    with local_processes(jobs=2, runs=1) as workers:
        assert workers.executor.submit(torch.get_num_threads).result() == 2
