"""The tables of scores, of runs with several values of tau."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

from data_prep import load_city
from data_prep.city import DataError
from tritonbn.experiment import compare

CITY = {"testville": "Testville"}


@pytest.fixture
def layouts(tmp_path, monkeypatch):
    """Return the layouts, which read results of two norms, one of them with two values of tau."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs")
    module = importlib.import_module("table_layouts")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    of_norm = [("local", None, seed, 5.0 + seed, 4.0) for seed in range(3)]
    of_tau = {  # validation and test scores of each seed; one that another tau lacks is not counted
        10.0: [(3.0, 9.0), (3.0, 9.0), (0.0, 0.0)],
        100.0: [(2.0, 7.0), (2.0, 8.0)],
    }
    pooled = [
        ("pooled", tau, seed, test, validation)
        for tau, runs in of_tau.items()
        for seed, (validation, test) in enumerate(runs)
    ]
    facts = ["norm", "pooling", "seed", "sprmse", "validation_sprmse"]
    table = pd.DataFrame([*of_norm, *pooled], columns=facts)
    table = table.assign(protocol="masked", model="cnn-dense", S1=table.sprmse, S2=table.sprmse)
    table.to_csv(tmp_path / "testville.csv", index=False)
    return module


def cells(table):
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]


def test_of_several_tau_the_one_with_the_best_validation_score_is_shown(layouts):
    table = cells(layouts.scores(CITY, ["masked"], ["cnn-dense"]))
    assert table[2:] == [
        ["CNN (dense), local", "6.00 ± 1.00", "3"],
        ["CNN (dense), pooled", "7.50 ± 0.71", "2"],
    ]


def test_a_difference_is_of_the_runs_with_the_chosen_tau(layouts):
    pairs = [("cnn-dense", "pooled", "local")]
    table = cells(layouts.differences(CITY, ["masked"], pairs))
    assert table[2][1].startswith("+2.00")  # seeds 0 and 1: 7 - 5 and 8 - 6


def test_the_choice_of_tau_is_shown_with_the_scores_that_decide(layouts):
    table = cells(layouts.choice_of_tau(CITY, ["masked"], ["cnn-dense"], "pooled"))
    assert table[2:] == [["CNN (dense), 10", "3.00"], ["CNN (dense), 100", "**2.00**"]]


def test_folders_that_differ_in_tau_alone_are_joined(layouts, tmp_path):
    tables = importlib.import_module("tables")
    city = load_city("synthetic", days=7, grid=(8, 8))
    few = {"steps": 2, "test_times": 40}
    for name, settings in {"10": {"pooling": 10.0}, "default": {}, "other": {"steps": 3}}.items():
        compare(
            city, backbones=["cnn"], designs=["published"], heads=["convolution"],
            norms=["local", "pooled"], baselines=["idw"], protocols=["masked"], seeds=1,
            directory=tmp_path / name, progress=False, **(few | settings),
        )  # fmt: skip
    tables.collect([tmp_path / "10", tmp_path / "default"], "joined")
    table = pd.read_csv(tmp_path / "joined.csv").set_index("norm")["pooling"]
    assert table["pooled"].tolist() == [10.0, 100.0]
    assert table.drop("pooled").isna().all()
    assert table.index.to_list().count("-") == 1  # IDW, which both folders have
    with pytest.raises(DataError, match=r"other and .*10 differ in settings; .* pooling alone"):
        tables.collect([tmp_path / "10", tmp_path / "other"], "refused")
    assert not (tmp_path / "refused.csv").exists()
