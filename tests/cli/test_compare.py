import shutil
from pathlib import Path

import pandas as pd
import pytest
from cli_commands import error_of
from matplotlib.image import imread

from tritonbn.cli import main

COMPARE = [
    *("compare", "--preset", "quick", "--grid", "6x7", "--seeds", "1"),
    *("--protocols", "paper", "masked", "--backbones", "cnn", "--norms", "none", "local-nearest"),
    *("--heads", "convolution", "--scalings", "percentile"),
    *("--baselines", "mean", "idw"),
]


@pytest.fixture(scope="module")
def compared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("compared")
    assert main([*COMPARE, "--data", str(data), "--out", str(directory)]) == 0
    return directory


def test_compare_leaves_tables_figures_and_one_page(compared: Path) -> None:
    table = pd.read_csv(compared / "results.csv")
    rows = [*table[["protocol", "model", "norm", "seed"]].itertuples(index=False, name=None)]
    assert rows == [
        ("paper", "cnn-convolution-percentile", "none", 0),
        ("paper", "cnn-convolution-percentile", "local-nearest", 0),
        ("paper", "mean", "-", 0),
        ("paper", "idw", "-", 0),
        ("masked", "cnn-convolution-percentile", "none", 0),
        ("masked", "cnn-convolution-percentile", "local-nearest", 0),
        ("masked", "cnn-residual", "none", 0),
        ("masked", "cnn-residual", "local-nearest", 0),
        ("masked", "mean", "-", 0),
        ("masked", "idw", "-", 0),
    ]
    stations = pd.read_csv(compared / "stations.csv")
    assert len(stations) == 4 * len(rows)
    page = (compared / "report.html").read_text("utf-8")
    for name in ("winners", "distance", "calibration", "training"):
        assert imread(compared / f"{name}.png").std() > 0
    assert page.count("data:image/png;base64,") == 4
    text = (compared / "table.md").read_text("utf-8")
    assert "The network with the best validation score is " in text
    assert "| residual CNN | local-nearest | " in text


def test_a_baseline_that_does_not_fit_the_city_is_left_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three = tmp_path / "three"
    three.mkdir()
    for name in ("stations.csv", "readings.csv"):
        table = pd.read_csv(data / name)
        table[table["station"] != "West"].to_csv(three / name, index=False)
    place = ["--data", str(three), "--grid", "6x7", "--out", str(tmp_path / "out")]
    baselines = ["--backbones", "--baselines", "kriging", "nearest"]
    assert main(["compare", "--protocols", "masked", *place, *baselines]) == 0
    assert "kriging-masked is left out: station North: kriging" in capsys.readouterr().err
    assert set(pd.read_csv(tmp_path / "out" / "results.csv")["model"]) == {"idw", "nearest"}


def test_compare_makes_only_what_is_missing(
    compared: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*/result.json")}
    assert main([*COMPARE, "nearest", "--data", str(data), "--out", str(out)]) == 0
    assert "All 6 runs are finished" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in out.glob("*/*/result.json")}
    assert {path: after[path] for path in before} == before
    assert {path.parent.name for path in after.keys() - before} == {
        "nearest-paper",
        "nearest-masked",
    }


def test_compare_names_a_baseline_that_it_does_not_know(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = error_of([*COMPARE, "magic", "--data", str(data), "--out", str(tmp_path / "o")], capsys)
    assert "argument --baselines: invalid choice: 'magic'" in line
    for known in ("mean-own", "nearest", "boosting"):
        assert known in line
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--protocols", "paper", "--designs", "residual"],
            "no run under protocol paper uses designs 'residual': residual networks learn from",
        ),
        (
            ["--designs", "published", "--without", "idw"],
            "uses without 'idw': that needs designs residual",
        ),
        (
            ["--protocols", "unseen", "--without", "context"],
            "no run under protocol unseen uses without 'context'",
        ),
        (
            ["--protocols", "paper", "--designs", "published", "residual"],
            "no run under protocol paper uses designs 'residual': residual networks learn from",
        ),
        (["--designs", "wild"], "invalid choice: 'wild'"),
        (
            ["--protocols", "unseen", "--baselines", "ridge"],
            "baselines ridge are fitted to the estimated station, which protocol unseen holds out",
        ),
        (["--backbones", "--baselines"], "there is nothing to compare"),
    ],
)
def test_compare_refuses_what_no_protocol_allows(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    out = tmp_path / "o"
    command = ["compare", "--data", str(data), "--grid", "6x7", "--out", str(out), *arguments]
    assert message in error_of(command, capsys)
    assert not out.exists()


def test_compare_says_what_to_install_for_a_baseline(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tritonbn.experiment.study.plan.find_spec", lambda name: None)
    line = error_of(
        [*COMPARE, "kriging", "ridge", "--data", str(data), "--out", str(tmp_path / "o")], capsys
    )
    assert "baselines need gstools, sklearn: pip install 'tritonbn[baselines]'" in line
