import base64
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from rich.console import Console
from small_city import TINY

from data_prep.city import CityData, DataError
from tritonbn.experiment import RunConfig, compare
from tritonbn.experiment.baselines import evaluate_baseline
from tritonbn.experiment.networks.checkpoint import FILE_NAME, CheckpointError
from tritonbn.experiment.networks.presets import PRESETS
from tritonbn.experiment.networks.trained import TrainedNetwork
from tritonbn.experiment.study import runner
from tritonbn.experiment.study.compare import fill_results
from tritonbn.experiment.study.load import open_run
from tritonbn.experiment.study.plan import Plan
from tritonbn.experiment.study.prepare import city_of, open_results, source_name
from tritonbn.experiment.study.reproduce import reproduce
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.runner import make_runs
from tritonbn.experiment.study.workers import workforce_of

MakeCity = Callable[..., CityData]
ARMS = [
    (model, norm)
    for model in ("convlstm-dense", "cnn-dense")
    for norm in ("none", "global", "local")
]


@pytest.fixture(scope="module", autouse=True)
def _tiny_preset() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "quick", TINY)
        yield


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


def prepare(directory: Path, data: Path, protocols: tuple[str, ...] = ("paper",)) -> Results:
    city = city_of(directory, str(data))
    source = source_name(str(data))
    return open_results(directory, city, protocols, preset="quick", data=source)


def plan_of(
    protocols: tuple[str, ...] = ("paper",),
    backbones: tuple[str, ...] = ("convlstm", "cnn"),
    norms: tuple[str, ...] = ("none", "global", "local"),
    seeds: int = 1,
) -> Plan:
    return Plan(
        backbones, ["published"], ["dense"], norms, protocols, baselines=["idw"], seeds=seeds
    )


@pytest.fixture(scope="module")
def data(make_city: MakeCity, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    city = make_city(times=300, stations=3, missing=0.05)
    replace(city, synthetic=True).save(directory)
    return directory


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    results = prepare(tmp_path_factory.mktemp("out"), data)
    reproduce(results, plan_of(seeds=2), None, None, None, quiet())
    return results


def test_there_is_one_row_per_model_norm_protocol_and_seed(done: Results) -> None:
    table = pd.read_csv(done.directory / "results.csv")
    rows = table[["protocol", "model", "norm", "seed"]].itertuples(index=False, name=None)
    runs = [("paper", *arm, seed) for arm in ARMS for seed in (0, 1)]
    assert [*rows] == [*runs, ("paper", "idw", "-", 0)]
    assert table["steps"].to_list() == [4] * 12 + [0]
    assert (table["seconds"] > 0).all()


def test_the_scores_are_the_means_over_the_stations(done: Results) -> None:
    keys = ["protocol", "model", "norm", "seed"]
    table = pd.read_csv(done.directory / "results.csv").set_index(keys)
    stations = pd.read_csv(done.directory / "stations.csv")
    counted = stations[stations["readings"] >= 24].groupby(keys)
    for score, column in (
        ("sprmse", "rmse"),
        ("spmae", "mae"),
        ("mean_reading", "mean_reading"),
    ):
        pd.testing.assert_series_equal(
            table[score].sort_index(), counted[column].mean(), check_names=False
        )


def test_idw_is_tested_on_the_same_readings(done: Results) -> None:
    estimates = done.estimates()
    of_idw = estimates[estimates["model"] == "idw"]
    expected = evaluate_baseline("idw", done.city, "paper", test_times=28).estimates["test"]
    columns = ["time", "station", "reading", "estimate"]
    pd.testing.assert_frame_equal(of_idw[columns], expected, check_dtype=False)
    for _, run in estimates.groupby(["model", "norm", "seed"]):
        assert run[columns[:3]].values.tolist() == of_idw[columns[:3]].values.tolist()
    assert done.runs()["skill"].iloc[-1] == 0


def test_the_markdown_table_agrees_with_the_results(done: Results) -> None:
    text = (done.directory / "table.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    header, _, *body = rows[: 2 + 7]
    table = pd.read_csv(done.directory / "results.csv")
    groups = table.groupby(["model", "norm"], sort=False)["sprmse"]
    assert [row[header.index("spRMSE")] for row in body] == [f"{x:.2f}" for x in groups.mean()]
    sds = ["-" if np.isnan(x) else f"{x:.2f}" for x in groups.std()]
    assert [row[header.index("sd")] for row in body] == sds
    assert "(seeds 0 to 1)" in text


def test_synthetic_readings_are_called_so_in_every_page(done: Results) -> None:
    for name in ("table.md", "report.html"):
        text = (done.directory / name).read_text("utf-8")
        assert "The readings are synthetic" in text
        assert "Testville (synthetic)" in text


def test_the_report_is_one_page_without_a_network(done: Results) -> None:
    page = (done.directory / "report.html").read_text("utf-8")
    embedded = [
        base64.b64decode(code) for code in re.findall(r"data:image/png;base64,([^\"]+)", page)
    ]
    images = sorted(done.directory.glob("*.png"))
    assert len(images) == 2
    assert {path.read_bytes() for path in images} == {*embedded}
    rest = re.sub(r"data:image/png;base64,[^\"]+", "", page)
    assert not re.search(r"https?:|//|src=\"[^\"]|url\(|@import", rest)


def test_the_heatmap_is_named_after_the_cell(done: Results) -> None:
    most = int(done.city.observed.sum(axis=0).argmax())
    assert (done.directory / f"heatmap_{done.city.cells[most]}.png").exists()


def test_a_second_time_nothing_is_trained(done: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(runner, "train_folds", fail)
    before = (done.directory / "results.csv").read_bytes()
    console = quiet()
    reproduce(done, plan_of(seeds=2), None, None, None, console)
    assert "All 12 runs are finished" in console.file.getvalue()
    assert (done.directory / "results.csv").read_bytes() == before


def test_more_seeds_and_protocols_add_runs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = prepare(tmp_path, data, ("paper", "masked"))
    reproduce(results, plan_of(("masked",), ("cnn",)), "S1", None, None, quiet())
    first = results.runs()
    reproduce(results, plan_of(("paper", "masked"), ("cnn",)), "S1", None, None, quiet())
    both = results.runs()
    assert both["protocol"].to_list() == ["paper"] * 4 + ["masked"] * 4
    pd.testing.assert_frame_equal(both[4:].reset_index(drop=True), first)
    text = (tmp_path / "table.md").read_text("utf-8")
    assert text.count("| IDW | - |") == 2


def test_the_picture_of_unseen_is_of_the_fold_that_does_not_know_the_station(
    make_city: MakeCity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_city(stations=6, missing=0.05).save(tmp_path / "data")
    results = prepare(tmp_path / "out", tmp_path / "data", ("unseen",))
    drawn: list[TrainedNetwork] = []

    def draw(networks: list[TrainedNetwork], city: CityData, time: int, station: int) -> Figure:
        drawn.extend(networks)
        return Figure()

    monkeypatch.setattr("tritonbn.experiment.study.reproduce.heatmap", draw)
    reproduce(results, plan_of(("unseen",), ("cnn",), ("none",)), "S2", None, None, quiet())
    (network,) = drawn
    assert network.config.fold_of(results.city).held_out[2]


def test_an_interrupted_job_goes_on_and_ends_with_the_same_numbers(
    data: Path, done: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = prepare(tmp_path, data)
    configs = [results.config("cnn", norm, "paper") for norm in ("none", "local")]
    steps = []

    def interrupt(_: object, __: object, info: object) -> None:
        steps.append(info)
        if len(steps) == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tritonbn.experiment.study.display.RunDisplay.on_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_runs(results, configs, None, quiet())
        assert len(results.runs()) == 2  # and IDW
        make_runs(results, configs, None, quiet())
    assert len(steps) == 9  # four of the first run, three, and two after the checkpoint at step 2
    expected = done.runs().query(
        "seed == 0 and (model == 'cnn-dense' and norm != 'global' or norm == '-')"
    )
    assert results.runs()["sprmse"].to_list() == expected["sprmse"].to_list()


def test_an_unknown_station_is_refused_before_training(done: Results) -> None:
    with pytest.raises(DataError, match="no station 9999"):
        reproduce(done, plan_of(("masked",)), "9999", None, None, quiet())
    assert set(done.runs()["protocol"]) == {"paper"}


def test_a_station_that_is_not_estimated_is_refused_before_training(
    make_city: MakeCity, tmp_path: Path
) -> None:
    city = make_city(stations=4, missing=0.05)
    city.values[:200, 1] = np.nan
    city.save(tmp_path / "data")
    results = prepare(tmp_path / "out", tmp_path / "data")
    message = "station S1 of Testville has fewer than 2 readings in the training part"
    with pytest.raises(DataError, match=message):
        reproduce(results, plan_of(), "S1", None, None, quiet())
    assert results.runs().empty


def test_without_a_terminal_each_run_is_a_plain_line(data: Path, tmp_path: Path) -> None:
    results = prepare(tmp_path, data)
    console = quiet()
    make_runs(results, [results.config("cnn", "none", "paper", seed=3)], None, console)
    shown = console.file.getvalue()
    score, validation = results.runs()[["sprmse", "validation_sprmse"]].iloc[0]
    scores = f"spRMSE {score:.2f} (validation {validation:.2f}), skill against IDW "
    assert shown.startswith(f"1/1 cnn-dense-none-paper-3: {scores}")
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 1


def test_a_baseline_has_no_steps_and_a_single_run_is_one(data: Path, tmp_path: Path) -> None:
    results = prepare(tmp_path, data)
    console = quiet()
    fill_results(results, plan_of(backbones=("cnn",), norms=("none",)), None, None, console)
    idw, cnn = console.file.getvalue().splitlines()
    assert re.search(r"idw-paper: .*, skill against IDW 0\.00; \d+ s$", idw)
    assert re.search(r"; 4 steps in \d+ s$", cnn)
    make_runs(results, [results.config("cnn", "none", "paper")], None, console)
    assert console.file.getvalue().endswith("The run is finished; there is nothing to train.\n")


def test_in_a_terminal_bars_and_the_table_are_live(data: Path, tmp_path: Path) -> None:
    results = prepare(tmp_path, data)
    console = Console(file=io.StringIO(), width=120, height=40, force_terminal=True)
    make_runs(results, [results.config("cnn", "none", "paper", seed=3)], None, console)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    score = results.runs()["sprmse"].iloc[0]
    assert "cnn-dense-none-paper-3" in shown
    assert re.search(rf"│ CNN \(dense\) +│ none +│ +{score:.2f} │", shown)


@pytest.mark.slow
def test_runs_side_by_side_have_the_numbers_of_runs_in_turn(
    data: Path, done: Results, tmp_path: Path
) -> None:
    results = prepare(tmp_path, data)
    configs = [results.config("cnn", norm, "paper") for norm in ("none", "local")]
    console = quiet()
    make_runs(results, configs, None, console, workforce=workforce_of(2))
    assert sorted(line.split()[0] for line in console.file.getvalue().splitlines()) == [
        "1/2",
        "2/2",
    ]
    scores = results.runs().set_index(["model", "norm", "seed"])["sprmse"]
    pd.testing.assert_series_equal(
        scores, done.runs().set_index(["model", "norm", "seed"])["sprmse"][scores.index]
    )


@pytest.mark.slow
def test_an_error_stops_the_runs_beside_it(data: Path, tmp_path: Path) -> None:
    results = prepare(tmp_path, data)
    config = results.config("cnn", "none", "paper")
    endless = replace(config, seed=1, steps=10**9, patience=10**9)
    results.run_directory(config).mkdir(parents=True)
    (results.run_directory(config) / FILE_NAME).write_text("damaged")
    with pytest.raises(CheckpointError, match="is not a checkpoint of this version"):
        make_runs(results, [endless, config], None, quiet(), workforce=workforce_of(2))
    assert not results.is_finished(endless)


@pytest.mark.parametrize(
    "jobs",
    [1, pytest.param(2, marks=pytest.mark.slow, id="2 jobs")],
    ids=lambda jobs: f"{jobs} job",
)
def test_a_run_that_diverges_is_named_after_the_others(
    data: Path, tmp_path: Path, jobs: int
) -> None:
    results = prepare(tmp_path, data)
    config = results.config("cnn", "none", "paper")
    others = [replace(config, seed=seed) for seed in (1, 2)]
    configs = [others[0], replace(config, learning_rate=1e30), others[1]]
    for _ in range(2):
        message = "^cnn-dense-none-paper-0: the loss is (nan|inf) at step .*; lower learning_rate"
        with pytest.raises(FloatingPointError, match=message):
            make_runs(results, configs, None, quiet(), workforce=workforce_of(jobs))
        assert [results.is_finished(config) for config in configs] == [True, False, True]


def diverge(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the trainings of some runs diverge."""
    train = runner.train_folds

    def train_or_diverge(city: CityData, config: RunConfig, *arguments: Any, **more: Any) -> Any:
        if config.name in names:
            raise FloatingPointError("the loss is nan at step 7")
        return train(city, config, *arguments, **more)

    monkeypatch.setattr(runner, "train_folds", train_or_diverge)


def test_a_comparison_leaves_out_the_runs_that_diverge(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices: dict[str, Any] = {
        **{"backbones": ["cnn"], "designs": ["published"], "norms": ["none", "local"]},
        **{"protocols": ["paper", "masked"], "baselines": ["idw"], "seeds": 1, "preset": "quick"},
    }
    of_paper = ["cnn-dense-none-paper-0", "cnn-dense-local-paper-0"]
    diverge(monkeypatch, *of_paper)
    city = CityData.load(data)
    with pytest.warns(RuntimeWarning) as warned:
        table = compare(city, **choices, directory=tmp_path, progress=False)
    (warning,) = warned
    why = "the loss is nan at step 7"
    assert (
        str(warning.message) == f"runs are left out: {'; '.join(f'{n}: {why}' for n in of_paper)}"
    )
    assert [*table[["protocol", "norm"]].itertuples(index=False, name=None)] == [
        ("paper", "-"),
        ("masked", "none"),
        ("masked", "local"),
        ("masked", "-"),
    ]
    assert (tmp_path / "report.html").exists()
    choices["protocols"] = ["paper"]
    with pytest.raises(FloatingPointError, match=f"cnn-dense-none-paper-0: {why}"):
        compare(city, **choices, directory=tmp_path, progress=False)


@pytest.mark.filterwarnings("ignore:runs are left out")
@pytest.mark.parametrize("norms", [["global"], ["none", "global", "local"]])
def test_the_heatmap_shows_the_networks_that_did_not_diverge(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, norms: list[str]
) -> None:
    results = prepare(tmp_path, data)
    diverge(monkeypatch, *(f"convlstm-dense-{norm}-paper-0" for norm in norms))
    drawn: list[str] = []

    def draw(networks: list[TrainedNetwork], *_: object) -> Figure:
        drawn.extend(network.config.norm for network in networks)
        return Figure()

    monkeypatch.setattr("tritonbn.experiment.study.reproduce.heatmap", draw)
    reproduce(results, plan_of(), None, None, None, quiet())
    assert drawn == [norm for norm in ("none", "global", "local") if norm not in norms]
    assert (tmp_path / "report.html").exists()


def test_unseen_trains_a_run_in_every_fold(make_city: MakeCity, tmp_path: Path) -> None:
    make_city(stations=6, missing=0.05).save(tmp_path / "data")
    results = prepare(tmp_path / "out", tmp_path / "data", ("unseen",))
    config = results.config("cnn", "local", "unseen")
    make_runs(results, [config], None, quiet())
    run, idw = results.runs().to_dict("records")
    assert (run["steps"], run["stations"]) == (5 * 4, 6)
    assert idw["stations"] == 6
    assert (
        len(list(results.directory.glob("runs/cnn-dense-local-unseen-0/fold*/*.safetensors"))) == 5
    )
    assert results.histories()["fold"].to_list() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    opened, whole = open_run(results.run_directory(config))
    assert opened.directory.resolve() == results.directory.resolve()
    assert [network.config.fold for network in whole.networks] == [0, 1, 2, 3, 4]
    _, fold = open_run(results.run_directory(config) / "fold3")
    assert [network.config.fold for network in fold.networks] == [3]
    assert fold.model is fold.networks[0].model


def test_a_run_is_opened_by_its_folder(done: Results) -> None:
    config = done.config("cnn", "local", "paper", seed=1)
    results, run = open_run(done.run_directory(config))
    assert run.config == config
    assert results.directory.resolve() == done.directory.resolve()
