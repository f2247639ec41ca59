from pathlib import Path

import pandas as pd
import pytest
from cli_commands import error_of
from matplotlib.image import imread

from tritonbn.cli import main

COMPARE = [
    *("compare", "--preset", "quick", "--grid", "6x7", "--seeds", "1"),
    *("--protocol", "paper", "masked", "--arms", "cnn-dense-none", "wide-cnn-local-nearest"),
    *("--rivals", "mean", "idw"),
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
        ("paper", "cnn-dense", "none", 0),
        ("paper", "mean", "-", 0),
        ("paper", "idw", "-", 0),
        ("masked", "cnn-dense", "none", 0),
        ("masked", "wide-cnn", "local-nearest", 0),
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
    assert "The network that validation chooses, " in text
    assert "| wide CNN | local-nearest | " in text


def test_a_rival_that_does_not_fit_the_city_is_left_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three = tmp_path / "three"
    three.mkdir()
    for name in ("stations.csv", "readings.csv"):
        table = pd.read_csv(data / name)
        table[table["station"] != "West"].to_csv(three / name, index=False)
    place = ["--data", str(three), "--grid", "6x7", "--out", str(tmp_path / "out")]
    rivals = ["--arms", "--rivals", "kriging", "nearest"]
    assert main(["compare", "--protocol", "masked", *place, *rivals]) == 0
    assert "2/2 kriging-masked is left out: kriging needs" in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "out" / "results.csv")["model"]) == {"idw", "nearest"}


def test_compare_goes_on_where_it_was(
    compared: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in compared.glob("r*/*/result.json")}
    more = [*COMPARE, "nearest", "--data", str(data), "--out", str(compared)]
    assert main(more) == 0
    assert "All 3 runs are there" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in compared.glob("r*/*/result.json")}
    assert {path: after[path] for path in before} == before
    assert {path.parent.name for path in after.keys() - before} == {
        "nearest-paper",
        "nearest-masked",
    }


def test_compare_names_a_rival_that_it_does_not_know(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = error_of([*COMPARE, "magic", "--data", str(data), "--out", str(tmp_path / "o")], capsys)
    assert "--rivals must be of mean-own, mean, nearest" in line
    assert "got magic" in line
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "paper", "--arms", "wide-cnn-local"], "paper allows no wide-cnn-local"),
        (
            ["--protocol", "unseen", "--arms", "published", "wide-cnn-no-context-none"],
            "unseen allows no wide-cnn-no-context-none",
        ),
        (
            ["--protocol", "paper", "--arms", "published", "wide"],
            "allows no wide: wide-convlstm",
        ),
        (["--arms", "wild"], "invalid choice: 'wild'"),
        (["--protocol", "unseen", "--rivals", "ridge"], "protocol unseen allows no ridge"),
        (["--arms", "--rivals"], "nothing to compare"),
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


def test_compare_says_what_to_install_for_a_rival(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tritonbn.experiment.commands.find_spec", lambda name: None)
    line = error_of(
        [*COMPARE, "kriging", "ridge", "--data", str(data), "--out", str(tmp_path / "o")], capsys
    )
    assert "rivals need gstools, sklearn: pip install 'tritonbn[rivals]'" in line
