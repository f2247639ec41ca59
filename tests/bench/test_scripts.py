import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest

from tritonbn.bench.fresh_processes import in_words

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WITH_ARGUMENTS = [
    "archive",
    "convlstm",
    "dense_head",
    "level_steps",
    "levels",
    "processes",
    "ranks",
]


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_a_script_explains_its_arguments(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "show this help message" in capsys.readouterr().out


def test_tau_is_chosen_by_the_validation_scores_of_the_case_and_the_first_seeds(tmp_path):
    levels = runpy.run_path(str(BENCHMARKS / "levels.py"))
    validation = {10.0: 6.0, 100.0: 5.0, 1000.0: 7.0}

    class Runs:
        """A results folder in which other cases and later seeds prefer another tau."""

        def __init__(self, tau):
            self.tau = tau

        def runs(self):
            rows = [
                ("masked", "cnn-dense", "pooled", 0, validation[self.tau] - 0.5),
                ("masked", "cnn-dense", "pooled", 1, validation[self.tau] + 0.5),
                ("masked", "cnn-dense", "pooled", 2, -10 * self.tau),
                ("unseen", "cnn-dense", "pooled", 0, -10 * self.tau),
                ("masked", "cnn-residual", "pooled", 0, -10 * self.tau),
                ("masked", "cnn-dense", "pooled-clusters", 0, -10 * self.tau),
            ]
            columns = ["protocol", "model", "norm", "seed", "validation_sprmse"]
            return pd.DataFrame(rows, columns=columns)

    best_tau = levels["best_tau"]
    best_tau.__globals__["train"] = lambda city, root, case, norm, seeds, tau: Runs(tau)
    case = levels["Case"]("masked", "cnn-dense")
    assert best_tau(None, tmp_path, case, "pooled") == 100.0


def test_cases_of_levels_have_different_names():
    levels = runpy.run_path(str(BENCHMARKS / "levels.py"))
    names = [case.name for case in levels["CASES"]]
    assert len({*names}) == len(names)
    assert {"masked/cnn-dense", "masked/cnn-dense/half"} <= {*names}


def test_ratios_of_processes_are_the_median_and_the_range():
    ratios = pd.Series([1.2, 1.4, 1.25, 1.3, 2.0])
    assert in_words(ratios) == "1.30 (1.20 to 2.00)"
