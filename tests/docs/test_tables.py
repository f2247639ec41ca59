"""The script that writes the tables of the pages: what it collects, lays out and checks."""

import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep import CityData, DataError, load_city
from tritonbn.experiment import compare
from tritonbn.experiment.study.results import FORMAT
from tritonbn.experiment.task.scores import mean_difference

STATIONS = [f"S{k}" for k in range(7)]
FEW = "S3"
CITIES = {"tiny": "Testville"}


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Return the script, outside the repository."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs")
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("tables")


def rmse_of(norm, seed):
    first, by_seed, by_station = {
        "none": (10.0, 1.0, 0.25),
        "local": (8.0, 2.0, 0.5),
        "-": (4.0, 0.0, 0.25),
    }[norm]
    return first + by_seed * seed + by_station * np.arange(7)


def make_results(directory):
    city = CityData(
        name="Testville",
        times=np.arange(3).astype("datetime64[s]"),
        stations=pd.DataFrame(
            {"station": STATIONS, "latitude": 51.0, "longitude": 4.0, "cell": range(7)}
        ),
        values=np.ones((3, 7), np.float32),
        grid=(3, 3),
    )
    city.save(directory / "data")
    facts = {"grid": [3, 3], "format": FORMAT, "preset": "quick", "settings": {}}
    (directory / "config.json").write_text(json.dumps(facts))
    runs = [
        ("paper", "cnn-dense", "none", 0),
        ("paper", "cnn-dense", "none", 1),
        ("paper", "cnn-dense", "local", 1),
        ("paper", "cnn-dense", "local", 2),
        ("masked", "cnn-dense", "none", 0),
        ("masked", "idw", "-", 0),
    ]
    for protocol, model, norm, seed in runs:
        key = {"protocol": protocol, "model": model, "norm": norm, "seed": seed}
        rmse = rmse_of(norm, seed)
        stations = pd.DataFrame({"station": STATIONS, "readings": 30, "rmse": rmse, **key})
        stations.loc[stations["station"] == FEW, ["readings", "rmse"]] = 23, 1e6
        row = {
            **key,
            "sprmse": 11.00004 + seed if norm == "none" else 4.5 + seed,
            "spmae": 2.0 + 2 * seed,
            "skill": 0.25,
            "validation_sprmse": 3.0,
            "steps": 5,
            "seconds": 0.123456,
        }
        folder = directory / ("baselines" if norm == "-" else "runs") / f"{model}-{norm}-{protocol}"
        folder = folder.with_name(f"{folder.name}-{seed}")
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(row))
        stations.to_csv(folder / "stations.csv", index=False)


@pytest.fixture
def collected(tables, tmp_path, monkeypatch):
    """Return the script, which has collected the results of a folder."""
    make_results(tmp_path / "tiny")
    monkeypatch.setattr(tables.layouts, "RESULTS", tmp_path / "collected")
    assert tables.main(["collect", str(tmp_path / "tiny"), "tiny"]) == 0
    return tables


def test_the_pages_have_what_the_files_have(tables):
    assert tables.main(["check"]) == 0


def test_every_table_is_in_a_page(tables):
    text = "".join(page.read_text(encoding="utf-8") for page in tables.PAGES)
    assert {name for _, name, _ in tables.BLOCK.findall(text)} == {*tables.TABLES}


def test_a_changed_number_is_found_and_put_right(tables, tmp_path, monkeypatch, capsys):
    text = tables.PAGES[0].read_text(encoding="utf-8")
    good, changed = tmp_path / "GOOD.md", tmp_path / "CHANGED.md"
    good.write_text(text, encoding="utf-8")
    assert "| 4.53 |" in text
    changed.write_text(text.replace("| 4.53 |", "| 4.35 |"), encoding="utf-8")
    monkeypatch.setattr(tables, "PAGES", [good, changed])
    assert tables.main(["check"]) == 1
    words = capsys.readouterr().out
    assert "CHANGED.md" in words
    assert "GOOD.md" not in words
    assert tables.main(["write"]) == 0
    assert changed.read_text(encoding="utf-8") == text
    assert tables.main(["check"]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table: earlier/masked -->\n| a |\n", "needs a line"),
        (
            "<!-- table: earlier/masked -->\n<!-- table: earlier/paper -->\n"
            "<!-- end of table -->\n",
            "needs a line",
        ),
        ("<!-- table: nothing -->\n<!-- end of table -->\n", "no such table: nothing"),
    ],
)
def test_a_block_that_is_wrong_is_refused(tables, text, message):
    with pytest.raises(ValueError, match=message):
        tables.rendered(text)


def test_what_is_collected_is_rounded_and_leaves_out_stations_of_few_readings(collected):
    lines = (collected.layouts.RESULTS / "tiny.csv").read_text().splitlines()
    facts = "protocol,model,norm,seed,sprmse,spmae,skill,validation_sprmse,steps,seconds"
    assert lines[0] == f"{facts},{','.join(STATIONS)}"
    assert lines[1] == (
        "paper,cnn-dense,none,0,11.0,2.0,0.25,3.0,5,0.1235,10.0,10.25,10.5,,11.0,11.25,11.5"
    )
    assert [line.split(",")[:4] for line in lines[4:]] == [
        ["paper", "cnn-dense", "local", "2"],
        ["masked", "cnn-dense", "none", "0"],
        ["masked", "idw", "-", "0"],
    ]


def test_scores_are_means_and_deviations_over_seeds(collected):
    assert collected.layouts.scores(CITIES, ["paper", "masked"]).splitlines() == [
        "| model | paper | masked | seeds |",
        "| --- | ---: | ---: | ---: |",
        "| CNN (dense), none | 11.50 ± 0.71 | 11.00 | 1 to 2 |",
        "| CNN (dense), local | 6.00 ± 0.71 | - | 2 |",
        "| IDW | - | 4.50 | - |",
    ]


def test_the_score_of_each_seed_can_be_told(collected):
    assert collected.layouts.each_seed(CITIES, ["paper", "masked"], ["cnn-dense"]).splitlines() == [
        "| model | paper | masked |",
        "| --- | --- | --- |",
        "| CNN (dense), none | 11.00, 12.00 | 11.00 |",
        "| CNN (dense), local | 5.50, 6.50 | - |",
    ]


def test_several_cities_have_a_column_each(collected):
    copy = collected.layouts.RESULTS / "copy.csv"
    copy.write_text(
        (collected.layouts.RESULTS / "tiny.csv").read_text().replace("idw,-,0,4.5", "idw,-,0,7")
    )
    assert collected.layouts.scores(
        {**CITIES, "copy": "Copytown"}, ["masked"], ["idw"]
    ).splitlines() == [
        "| model | masked: Testville | masked: Copytown | seeds |",
        "| --- | ---: | ---: | ---: |",
        "| IDW | 4.50 | 7.00 | - |",
    ]


def test_a_model_that_was_not_run_is_no_empty_table(collected):
    with pytest.raises(ValueError, match="nothing of kriging under masked"):
        collected.layouts.scores(CITIES, ["masked"], ["idw", "kriging"])


def test_published_scores_stand_beside_mean_absolute_errors(collected):
    assert collected.layouts.scores_beside_published(CITIES, ["paper"]).splitlines() == [
        "| model | published | spMAE, paper | spRMSE, paper | seeds |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| CNN (dense), none | 18.66 | 3.00 ± 1.41 | 11.50 ± 0.71 | 2 |",
        "| CNN (dense), local | 14.15 | 5.00 ± 1.41 | 6.00 ± 0.71 | 2 |",
    ]


def test_differences_are_paired_over_the_seeds_that_both_have(collected):
    pairs = [("cnn-dense", "local", "none"), ("cnn-dense", "none", "idw")]
    counted = [station != FEW for station in STATIONS]
    of_seed_1 = (rmse_of("local", 1) - rmse_of("none", 1))[counted]
    of_baseline = (rmse_of("none", 0) - rmse_of("-", 0))[counted]
    mean, low, high = mean_difference(of_seed_1[None])
    assert mean == pytest.approx(of_seed_1.sum() / 6) == pytest.approx(-0.25)
    assert (of_baseline == 6).all()
    assert collected.layouts.differences(CITIES, ["paper", "masked"], pairs).splitlines() == [
        "| difference of RMSE | paper | masked |",
        "| --- | --- | --- |",
        f"| CNN (dense): local - none | {mean:+.2f} ({low:+.2f} .. {high:+.2f}) | - |",
        "| CNN (dense): none - IDW | - | +6.00 (+6.00 .. +6.00) |",
    ]


@pytest.fixture
def layouts(tables, tmp_path, monkeypatch):
    """Return the layouts, which read results of two norms, one of them with two values of tau."""
    monkeypatch.setattr(tables.layouts, "RESULTS", tmp_path)
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
    table.to_csv(tmp_path / "tiny.csv", index=False)
    return tables.layouts


def cells(table):
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]


def test_of_several_tau_the_one_with_the_best_validation_score_is_shown(layouts):
    table = cells(layouts.scores(CITIES, ["masked"], ["cnn-dense"]))
    assert table[2:] == [
        ["CNN (dense), local", "6.00 ± 1.00", "3"],
        ["CNN (dense), pooled", "7.50 ± 0.71", "2"],
    ]


def test_a_difference_is_of_the_runs_with_the_chosen_tau(layouts):
    pairs = [("cnn-dense", "pooled", "local")]
    table = cells(layouts.differences(CITIES, ["masked"], pairs))
    assert table[2][1].startswith("+2.00")  # seeds 0 and 1: 7 - 5 and 8 - 6


def test_the_choice_of_tau_is_shown_with_the_scores_that_decide(layouts):
    table = cells(layouts.choice_of_tau(CITIES, ["masked"], ["cnn-dense"], "pooled"))
    assert table[2:] == [["CNN (dense), 10", "3.00"], ["CNN (dense), 100", "**2.00**"]]


def test_folders_that_differ_in_tau_alone_are_joined(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(tables.layouts, "RESULTS", tmp_path)
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
