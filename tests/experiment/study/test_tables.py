import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from data_prep.city import CityData
from tritonbn.experiment.study.display import score_tables
from tritonbn.experiment.study.tables import (
    chosen_network,
    difference_rows,
    score_rows,
    station_rows,
    summarize,
    suspicious_stations,
    verdicts,
)

SCORES = {
    ("convlstm-dense", "none"): (9.0, 11.0, 10.0),
    ("convlstm-dense", "global"): (6.0, 7.0, 8.0),
    ("convlstm-dense", "local"): (3.0, 3.1, 3.2),
    ("cnn-dense", "none"): (5.0, 5.1, 5.2),
    ("cnn-dense", "global"): (7.0, 7.1, 7.2),
    ("cnn-dense", "local"): (8.0, 8.1, 8.2),
    ("idw", "-"): (4.0,),
    ("mean", "-"): (6.0,),
}


def runs_of(protocol: str, seeds: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "protocol": protocol,
            "model": model,
            "norm": norm,
            "seed": seed,
            "sprmse": score,
            "time_rmse": 2 * score,
            "spmae": score / 2,
            "bias": -0.5,
            "r2": 0.25,
            "skill": 1 - score / 4,
            "validation_sprmse": score + 1,
        }
        for (model, norm), scores in SCORES.items()
        for seed, score in enumerate(scores[:seeds])
    )


def stations_of(seeds: int = 3, spread: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "model": model,
            "norm": norm,
            "seed": seed,
            "station": f"S{s}",
            "readings": 30,
            "rmse": score + rng.normal(0, spread),
        }
        for (model, norm), scores in SCORES.items()
        for seed, score in enumerate(scores[:seeds])
        for s in range(20)
    )


def test_means_and_deviations_are_over_seeds() -> None:
    summary = summarize(runs_of("paper")).set_index(["model", "norm"])
    for key, scores in SCORES.items():
        assert summary.loc[key, "sprmse"] == pytest.approx(np.mean(scores))
        if len(scores) > 1:
            assert summary.loc[key, "sd"] == pytest.approx(np.std(scores, ddof=1))
        assert summary.loc[key, "validation_sprmse"] == pytest.approx(np.mean(scores) + 1)
        assert summary.loc[key, "seeds"] == len(scores)


def test_published_figures_stand_beside_spmae_for_their_city_and_protocol(city: CityData) -> None:
    antwerp = replace(city, name="Antwerp")
    header, *rows = score_rows(runs_of("paper"), antwerp)
    assert header[header.index("published") + 1] == "spMAE"
    published = [row[header.index("published")] for row in rows]
    assert published == ["16.64", "14.00", "13.70", "18.66", "15.96", "14.15", "-", "-"]
    assert "published" not in score_rows(runs_of("masked"), antwerp)[0]
    assert "published" not in score_rows(runs_of("paper"), city)[0]


def test_a_terminal_of_80_columns_shows_spmae_beside_published_figures(city: CityData) -> None:
    for name, beside in (("Antwerp", "published"), ("Testville", "skill")):
        console = Console(file=io.StringIO(), width=80)
        console.print(*score_tables(runs_of("paper"), replace(city, name=name)))
        shown = console.file.getvalue()
        assert "…" not in shown
        assert len(shown.splitlines()) == 1 + 4 + len(SCORES), "no row is wrapped"
        assert beside in shown
        assert ("spMAE" in shown) == (name == "Antwerp")


def test_baselines_have_no_seeds(city: CityData) -> None:
    header, *rows = score_rows(runs_of("masked"), city)
    named = dict(zip(header, rows[-2], strict=True))
    assert (named["model"], named["spRMSE"], named["spMAE"]) == ("IDW", "4.00", "2.00")
    assert (named["sd"], named["seeds"], named["skill"]) == ("-", "-", "0.00")
    assert (named["validation"], rows[0][header.index("validation")]) == ("5.00", "11.00")
    assert rows[0][header.index("seeds")] == "3"


def test_a_single_seed_has_no_deviation(city: CityData) -> None:
    header, *rows = score_rows(runs_of("paper", seeds=1), city)
    assert {row[header.index("sd")] for row in rows} == {"-"}


def test_verdicts_say_where_local_is_better_and_where_worse() -> None:
    convlstm, cnn, best = verdicts(runs_of("masked"), stations_of())
    words = (
        r"ConvLSTM \(dense\): local \(3\.\d\d\) is better than none \([\d.]*\) and "
        r"better than global \(.*\)\."
    )
    assert re.fullmatch(words, convlstm)
    assert "CNN (dense): local" in cnn
    assert "worse than none" in cnn
    assert "worse than global" in cnn
    assert best.startswith("The network with the best validation score is ConvLSTM (dense) local.")
    assert re.search(
        r"spRMSE in the test, 3\.\d\d, is 0\.7\d times that of .* baseline, IDW \(4\.0\d\)", best
    )


def test_the_network_shown_is_chosen_by_validation_and_lacks_nothing() -> None:
    runs = runs_of("masked")
    assert chosen_network(runs) == ("convlstm-dense", "local")
    cnn = (runs["model"] == "cnn-dense") & (runs["norm"] == "local")
    runs.loc[cnn, "validation_sprmse"] = (0.5, 9.0, 3.0)
    assert chosen_network(runs) == ("convlstm-dense", "local")
    runs.loc[cnn, "validation_sprmse"] = (0.5, 9.0, 1.0)
    assert chosen_network(runs) == ("cnn-dense", "local")
    runs.loc[cnn, "model"] = "cnn-residual-without-hour"
    assert chosen_network(runs) == ("convlstm-dense", "local")
    assert chosen_network(runs[runs["norm"] == "-"]) is None


def test_the_verdict_is_on_the_network_with_the_best_validation_score() -> None:
    runs = runs_of("masked")
    runs.loc[(runs["model"] == "cnn-dense") & (runs["norm"] == "none"), "validation_sprmse"] = 0.5
    (*_, line) = verdicts(runs, stations_of())
    assert line.startswith(
        "The network with the best validation score is CNN (dense) none. Its spRMSE in the test, 5."
    )


def test_what_differs_by_chance_only_is_called_so() -> None:
    convlstm, cnn, _ = verdicts(runs_of("masked"), stations_of(spread=100.0))
    assert "not clearly different from none" in convlstm
    assert "not clearly different from global" in cnn


def test_too_few_stations_for_an_interval_get_no_verdict_on_norms() -> None:
    stations = stations_of()
    five = stations[stations["station"].isin(stations["station"].unique()[:5])]
    (line,) = verdicts(runs_of("masked"), five)
    assert line.startswith("The network with the best validation score is")


def test_an_arm_alone_gets_no_verdict() -> None:
    stations = stations_of()
    alone = stations[(stations["norm"] == "local") | (stations["model"] == "mean")]
    runs = runs_of("masked")
    (line,) = verdicts(runs[runs["norm"].isin(["local", "-"])], alone)
    assert line.startswith("The network with the best validation score is ConvLSTM (dense) local")
    none = runs["norm"] == "none"
    assert verdicts(runs[none], stations[stations["norm"] == "none"]) == []


def test_differences_are_from_the_best_baseline_and_of_local_from_the_others() -> None:
    header, *rows = difference_rows(stations_of())
    assert [tuple(row[:3]) for row in rows] == [
        ("ConvLSTM (dense)", "none", "IDW"),
        ("ConvLSTM (dense)", "global", "IDW"),
        ("ConvLSTM (dense)", "local", "IDW"),
        ("ConvLSTM (dense)", "local", "none"),
        ("ConvLSTM (dense)", "local", "global"),
        ("CNN (dense)", "none", "IDW"),
        ("CNN (dense)", "global", "IDW"),
        ("CNN (dense)", "local", "IDW"),
        ("CNN (dense)", "local", "none"),
        ("CNN (dense)", "local", "global"),
    ]
    mean = header.index("difference of RMSE")
    assert float(rows[2][mean]) == pytest.approx(3.1 - 4, abs=0.1)
    low, high = map(float, rows[2][mean + 1].split(" .. "))
    assert low < float(rows[2][mean]) < high < 0


def test_differences_are_between_runs_of_one_seed() -> None:
    stations = stations_of(spread=0.0)
    one = (stations["model"] == "convlstm-dense") & (stations["norm"] == "local")
    of_seeds = [stations[~(one & (stations["seed"] == seed))] for seed in (0, 1)]
    alone = stations[~one | (stations["seed"] == 2)].copy()
    alone.loc[one, "seed"] = 7
    expected = (
        (of_seeds[0], ["-0.85", "-7.35", "-4.35"]),  # seeds 1 and 2: IDW, none, global
        (of_seeds[1], ["-0.90", "-6.40", "-3.90"]),
        (alone, ["-0.80"]),  # no seed in common with a network
    )
    for table, means in expected:
        rows = [row for row in difference_rows(table) if row[:2] == ["ConvLSTM (dense)", "local"]]
        assert [row[3] for row in rows] == means


def test_a_baseline_without_error_has_no_multiple() -> None:
    stations = stations_of()
    stations.loc[stations["model"] == "idw", "rmse"] = 0.0
    (*_, line) = verdicts(runs_of("masked"), stations)
    assert "is - times that of the best baseline, IDW (0.00)" in line


def test_stations_with_few_readings_decide_nothing() -> None:
    stations = stations_of()
    few = stations.assign(station="few", readings=23, rmse=1e6)
    runs = runs_of("masked")
    assert verdicts(runs, pd.concat([stations, few])) == verdicts(runs, stations)


def test_a_station_with_a_high_error_under_every_method_is_pointed_at() -> None:
    stations = stations_of(spread=0.0)
    assert suspicious_stations(stations) == []
    stations.loc[stations["station"] == "S7", "rmse"] *= 4
    stations.loc[stations["station"] == "S3", "rmse"] *= 3.5
    stations.loc[stations["station"] == "S5", "rmse"] *= 2.9
    typical = np.median([np.mean(scores) for scores in SCORES.values()])
    assert suspicious_stations(stations) == [
        f"Station {name} has an RMSE of {times * typical:.2f} as the median over all methods, "
        f"{times:.1f} times that of the median station: its sensor may be faulty."
        for name, times in (("S7", 4.0), ("S3", 3.5))
    ]


def test_a_station_where_one_method_fails_is_not_suspicious() -> None:
    stations = stations_of()
    one = (stations["model"] == "idw") & (stations["station"] == "S7")
    stations.loc[one, "rmse"] = 1e6
    assert suspicious_stations(stations) == []


def test_a_station_with_few_readings_is_not_suspicious() -> None:
    few = stations_of().assign(station="few", readings=23, rmse=1e6)
    assert suspicious_stations(pd.concat([stations_of(), few])) == []


def test_station_rows_average_the_seeds_and_mark_what_was_not_scored() -> None:
    stations = pd.DataFrame(
        {
            "model": model,
            "norm": norm,
            "seed": seed,
            "station": station,
            "cell": 7,
            "readings": 30 if station == "A" else 0,
            "mean_reading": 12.0 if station == "A" else np.nan,
            "rmse": rmse + seed if station == "A" else np.nan,
        }
        for model, norm, rmse in (
            ("cnn-dense", "none", 2.0),
            ("cnn-dense", "local", 4.0),
            ("idw", "-", 1.0),
        )
        for seed in (0, 1)
        for station in ("B", "A")
    )
    assert station_rows(stations) == [
        ["station", "cell", "readings", "mean", "CNN (dense) none", "CNN (dense) local", "IDW"],
        ["B", "7", "0", "-", "-", "-", "-"],
        ["A", "7", "30", "12.00", "2.50", "4.50", "1.50"],
    ]
