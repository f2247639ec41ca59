import numpy as np
import pandas as pd
import pytest

from tritonbn.experiment.table import (
    markdown,
    score_rows,
    station_rows,
    summarize,
    verdicts,
)

SCORES = {
    ("convlstm", "none"): (9.0, 11.0, 10.0),
    ("convlstm", "global"): (6.0, 7.0, 8.0),
    ("convlstm", "local"): (3.0, 3.1, 3.2),
    ("cnn", "none"): (5.0, 5.1, 5.2),
    ("cnn", "global"): (7.0, 7.1, 7.2),
    ("cnn", "local"): (8.0, 8.1, 8.2),
}


def runs_of(protocol: str, idw: float = 4.0, seeds: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "protocol": protocol,
            "backbone": backbone,
            "norm": norm,
            "seed": seed,
            "sprmse": score,
            "spmae": score / 2,
            "idw_sprmse": idw,
            "idw_spmae": idw / 2,
        }
        for (backbone, norm), scores in SCORES.items()
        for seed, score in enumerate(scores[:seeds])
    )


def test_means_and_deviations_are_over_seeds() -> None:
    summary = summarize(runs_of("paper")).set_index(["backbone", "norm"])
    for key, scores in SCORES.items():
        assert summary.loc[key, "sprmse"] == pytest.approx(np.mean(scores))
        assert summary.loc[key, "sd"] == pytest.approx(np.std(scores, ddof=1))
        assert summary.loc[key, "seeds"] == 3


def test_published_figures_stand_beside_those_of_their_protocol() -> None:
    header, *rows = score_rows(runs_of("paper"))
    published = [row[header.index("published")] for row in rows]
    assert published == ["16.64", "14.00", "13.70", "18.66", "15.96", "14.15", "-"]
    assert "published" not in score_rows(runs_of("masked"))[0]


def test_idw_is_the_last_row() -> None:
    header, *_, last = score_rows(runs_of("masked"))
    named = dict(zip(header, last, strict=True))
    assert (named["model"], named["spRMSE"], named["spMAE"]) == ("IDW", "4.00", "2.00")


def test_a_single_seed_has_no_deviation() -> None:
    header, *rows = score_rows(runs_of("paper", seeds=1))
    assert {row[header.index("sd")] for row in rows} == {"-"}


def test_verdicts_say_where_local_is_best_and_where_not() -> None:
    convlstm, cnn, idw = verdicts(runs_of("paper"))
    assert convlstm == "ConvLSTM: local is best (local 3.10, global 7.00, none 10.00)."
    assert cnn == "CNN: local is not best (none 5.10, global 7.10, local 8.10)."
    assert idw == "Better than IDW (4.00): ConvLSTM local."


def test_verdicts_say_where_no_model_is_better_than_idw() -> None:
    assert verdicts(runs_of("paper", idw=1.0))[-1] == "Better than IDW (1.00): no model."


def test_a_difference_within_the_deviation_is_called_so() -> None:
    runs = runs_of("paper")
    runs.loc[runs["norm"] == "local", "sprmse"] = [6.0, 6.9, 7.8, 8.0, 8.1, 8.2]
    convlstm, cnn, _ = verdicts(runs)
    assert "local is best, and the first two differ by less than the sd" in convlstm
    assert "differ by less" not in cnn


def test_an_arm_without_rivals_gets_no_verdict() -> None:
    runs = runs_of("paper")
    lines = verdicts(runs[(runs["norm"] == "local") | (runs["backbone"] == "cnn")])
    assert [line.split(":")[0] for line in lines] == ["CNN", "Better than IDW (4.00)"]


def test_station_rows_average_the_seeds_and_mark_what_was_not_scored() -> None:
    stations = pd.DataFrame(
        {
            "backbone": "cnn",
            "norm": norm,
            "seed": seed,
            "station": station,
            "cell": 7,
            "readings": 30 if station == "A" else 0,
            "mean_reading": 12.0 if station == "A" else np.nan,
            "rmse": rmse + seed if station == "A" else np.nan,
            "idw_rmse": 1.5 if station == "A" else np.nan,
        }
        for norm, rmse in (("none", 2.0), ("local", 4.0))
        for seed in (0, 1)
        for station in ("B", "A")
    )
    assert station_rows(stations) == [
        ["station", "cell", "readings", "mean", "IDW", "CNN none", "CNN local"],
        ["B", "7", "0", "-", "-", "-", "-"],
        ["A", "7", "30", "12.00", "1.50", "2.50", "4.50"],
    ]


def test_markdown_has_a_rule_below_its_header() -> None:
    assert markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
