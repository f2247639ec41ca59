"""The kernels of a benchmark are known before it launches them."""

from functools import partial

import pytest

pytest.importorskip("triton")

from triton.backends.compiler import GPUTarget

from tritonbn.bench import kernels
from tritonbn.bench.cases import CHANNELS_LAST, CONTIGUOUS, FLOAT32, Input
from tritonbn.kernels import tuning
from tritonbn.kernels.configs import suitable_configs
from tritonbn.kernels.offline.compiler import target_of

CASE = Input((8, 16, 16, 16), FLOAT32, CONTIGUOUS)


def test_a_case_is_the_problem_that_the_kernels_solve():
    problem = kernels.problem_of(CASE._replace(memory_format=CHANNELS_LAST), "32 nearest")
    assert (problem.batch, problem.channels, problem.cells) == (8, 16, 256)
    assert (problem.segments, problem.outside, problem.channels_last) == (32, 0, True)


@pytest.mark.parametrize("segments", ["single", "per cell"])
def test_all_configurations_are_compiled_where_they_are_tuned(segments):
    case = (CASE, segments)
    every, default = kernels.work_of([case], []), kernels.work_of([], [case])
    names = {kernel for kernel, _, _ in every}
    assert {kernel for kernel, _, _ in default} == names
    assert len(default) == len(names)
    for kernel in names:
        kind = tuning.kind_of(kernel, kernels.problem_of(*case))
        configs = [config for name, _, config in every if name == kernel]
        assert configs == list(suitable_configs(kernel, kind))
        assert [config for name, _, config in default if name == kernel] == configs[:1]


def test_only_single_cells_can_use_one_pass_in_contiguous_memory():
    assert kernels.has_one_pass(CASE, "per cell")
    assert not kernels.has_one_pass(CASE, "32 nearest")


def test_tuning_is_noted(monkeypatch):
    class Launcher:
        problem = kernels.problem_of(CASE, "per cell")

        def launch(self, kernel, config):
            raise NotImplementedError

    monkeypatch.setattr(tuning, "measure", lambda run: 0.5)
    notes = []
    with kernels.noting_tuning(notes):
        run = partial(Launcher().launch, "normalize", (2, 256, 2))
        assert tuning.measure(run) == 0.5
    assert tuning.measure(run) == 0.5
    (note,) = notes
    assert (note["kernel"], note["config"], note["us"]) == ("normalize", [2, 256, 2], 500.0)
    assert note["gb_per_s"] == pytest.approx(2 * 8 * 16 * 256 * 4 / 0.5e-3 / 1e9, abs=0.05)


def test_kernels_can_be_compiled_for_any_nvidia_gpu():
    assert target_of("sm_86") == GPUTarget("cuda", 86, 32)
