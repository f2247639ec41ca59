import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from senseurcity_files import stay, write_archive

from data_prep import CityData, read_archive
from data_prep.cli import add_commands, main

ROWS = stay("ANT_REF_R803", "2020-07-01T10:00", [1, 2, 3, 4], OPCN3PM10=30)


@pytest.fixture
def archive(tmp_path):
    return str(write_archive(tmp_path / "data.zip", {"Antwerp_402B00.csv": ROWS}))


@pytest.fixture
def tidy(tidy):
    """Return the path as a command line has it."""
    return str(tidy)


def test_senseurcity_saves_a_city_and_describes_it(archive, tmp_path, capsys):
    out = tmp_path / "new" / "city"
    assert main(["senseurcity", archive, "--out", str(out), "--grid", "16x8"]) == 0
    city = CityData.load(out)
    assert city.values.tolist() == [[1], [2], [3], [4]]
    assert city.grid == (16, 8)
    printed = capsys.readouterr().out
    assert "2020-07-01 10:00:00" in printed
    assert "2020-06-29T10:20" in printed, "the published window"
    assert main(["describe", str(out)]) == 0
    assert capsys.readouterr().out == printed[: printed.rindex("\nsaved in")]


def test_senseurcity_takes_a_window_and_a_quantity(archive, tmp_path):
    options = [
        "--quantity",
        "OPCN3PM10",
        "--start",
        "2020-07-01T10:01",
        "--end",
        "2020-07-01 10:02",
    ]
    assert main(["senseurcity", archive, "--out", str(tmp_path / "out"), *options]) == 0
    city = CityData.load(tmp_path / "out")
    assert city.quantity == "PM10"
    assert city.values.tolist() == [[30], [30]]


def test_senseurcity_without_a_path_reads_what_was_downloaded(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.senseurcity.readings.download", lambda progress: Path(archive))
    assert main(["senseurcity", "--out", str(tmp_path / "out")]) == 0
    assert CityData.load(tmp_path / "out").name == "Antwerp"


def test_download_prints_the_path(tmp_path, monkeypatch, capsys):
    path = tmp_path / ("long" * 40) / "archive.zip"
    monkeypatch.setattr("data_prep.cli.download", lambda cache: cache / path.name)
    assert main(["download", "--cache", str(path.parent)]) == 0
    assert capsys.readouterr().out == f"{path}\n"


def test_openaq_downloads_and_prints_the_folder(tmp_path, monkeypatch, capsys):
    def download(*arguments, **options):
        assert arguments == (["2178", "2179"], "2022-05-01", "2022-05-02", tmp_path)
        assert options == {"bounds": (-107.0, 35.0, -106.0, 36.0)}
        return tmp_path

    monkeypatch.setattr("data_prep.cli.download_openaq", download)
    days = ["--start", "2022-05-01", "--end", "2022-05-02", "--bounds=-107,35,-106,36"]
    assert main(["openaq", "2178", "2179", *days, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}\n"


def test_prepare_saves_a_city(tidy, tmp_path):
    assert main(["prepare", tidy, "--out", str(tmp_path / "out"), "--grid", "4x4"]) == 0
    assert CityData.load(tmp_path / "out").observed.tolist() == [[True, False], [False, True]]


def test_prepare_keeps_the_grid_of_a_prepared_city(tidy, tmp_path, capsys):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert main(["prepare", tidy, "--out", one, "--grid", "4x4"]) == 0
    assert main(["prepare", one, "--out", two]) == 0
    assert CityData.load(two).grid == (4, 4)
    assert main(["prepare", tidy, "--out", two]) == 0
    assert CityData.load(two).grid == (32, 32)
    capsys.readouterr()
    assert main(["prepare", one, "--out", two, "--grid", "32x32"]) == 2
    assert "was prepared for the grid (4, 4), not (32, 32)" in capsys.readouterr().err


def test_prepare_takes_the_options_of_the_data(tidy, tmp_path):
    options = ["--valid", "0:4.5", "--every", "1d", "--least", "0"]
    assert main(["prepare", tidy, "--out", str(tmp_path / "out"), *options]) == 0
    city = CityData.load(tmp_path / "out")
    assert city.stations["station"].to_list() == ["a"]
    assert city.values.tolist() == [[4]]


def test_a_warning_is_one_line(tidy, tmp_path, capsys):
    with (Path(tidy) / "readings.csv").open("a") as file:
        file.write("2024-01-01T01:00,a,9999\n")
    assert main(["prepare", tidy, "--out", str(tmp_path / "out")]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: 1 of 3 readings of tidy are impossible")


def test_synthetic_saves_a_labelled_city(tmp_path, capsys):
    assert main(["synthetic", "--days", "1", "--seed", "3", "--out", str(tmp_path / "out")]) == 0
    city = CityData.load(tmp_path / "out")
    assert city.synthetic
    assert len(city.stations) == 31
    assert "synthetic" in capsys.readouterr().out


def test_synthetic_writes_an_archive_that_reads_as_the_same_city(tmp_path, capsys):
    archive, options = tmp_path / "archive.zip", ["--days", "1", "--seed", "2"]
    assert main(["synthetic", *options, "--archive", str(archive)]) == 0
    assert capsys.readouterr().out == f"saved in {archive}\n"
    assert main(["synthetic", *options, "--out", str(tmp_path / "city")]) == 0
    span = {"start": "2020-07-06", "end": "2020-07-06T23:59"}
    read = read_archive(archive, progress=False, **span)
    np.testing.assert_array_equal(read.values, CityData.load(tmp_path / "city").values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["senseurcity", "nowhere.zip"], "nowhere.zip does not exist"),
        (["senseurcity", "{archive}", "--city", "paris"], "no device of the city 'paris'"),
        (["senseurcity", "{archive}", "--start", "soon"], "start must be a time like"),
        (["senseurcity", "{archive}", "--start", "2021-01-01"], "no minute in which"),
        (["prepare", "nowhere"], "nowhere"),
        (
            ["prepare", "{tidy}", "--time-zone", "UTC"],
            "a folder readings), has no option --time-zone",
        ),
        (["prepare", "synthetic:{tidy}"], "synthetic is not read from files"),
        (["synthetic", "--days", "0"], "days must be a whole number, at least 1"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    archive, tidy, tmp_path, capsys, arguments, message
):
    arguments = [argument.format(archive=archive, tidy=tidy) for argument in arguments]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_out_must_be_a_folder(archive, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["senseurcity", archive, "--out", str(tmp_path / "file")]) == 2
    assert "--out must be a folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["stations.csv", "readings.csv", "readings.parquet"])
def test_out_must_not_hold_tables_to_read(archive, tmp_path, capsys, name):
    (tmp_path / name).write_text("mine")
    assert main(["senseurcity", archive, "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path} holds tables to read ({name}); give another --out\n"
    )
    assert (tmp_path / name).read_text() == "mine"


def test_a_prepared_city_may_be_written_anew_also_where_a_write_was_killed(archive, tmp_path):
    out = tmp_path / "out"
    assert main(["senseurcity", archive, "--out", str(out)]) == 0
    (out / "city.json").unlink()
    assert main(["senseurcity", archive, "--out", str(out)]) == 0
    assert main(["senseurcity", archive, "--out", str(out)]) == 0


def test_bounds_are_an_option_of_single_sources(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    own = capsys.readouterr().out.partition("options of single sources:")[2]
    assert "--bounds W,S,E,N" in own


def test_describe_writes_a_page(tidy, tmp_path, capsys):
    out, html = str(tmp_path / "out"), tmp_path / "new" / "city.html"
    assert main(["prepare", tidy, "--out", out]) == 0
    capsys.readouterr()
    assert main(["describe", out]) == 0
    described = capsys.readouterr().out
    assert main(["describe", out, "--html", str(html)]) == 0
    assert capsys.readouterr().out == f"{described}\nThe page is {html}\n"
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["describe", out, "--html", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: --html must be a file, but {tmp_path} is a folder\n"


def test_describe_wants_a_prepared_city(tmp_path, capsys):
    assert main(["describe", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path} does not hold a prepared city; prepare it first: "
        f"tritonbn data prepare {tmp_path} --out ...\n"
    )
    assert main(["describe", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist; expected the folder of a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["senseurcity", "x.zip"], "--out"),
        (["prepare", "x", "--out", "y", "--grid", "32"], "such as 32x32, got '32'"),
        (["prepare", "x", "--out", "y", "--grid", "0x4"], "got '0x4'"),
        (["senseurcity", "x", "--out", "y", "--quantity", "SHT31TE"], "SHT31TE"),
        (["prepare", "x", "--out", "y", "--valid", "0-9"], "expected MIN:MAX, got '0-9'"),
        (["prepare", "x", "--out", "y", "--bounds", "1,2,3"], "expected W,S,E,N"),
        (["prepare", "x", "--out", "y", "--columns", "a"], "expected NAME=COLUMN,..., got 'a'"),
        (["synthetic", "--out", "y", "--days", "two"], "two"),
        (["synthetic"], "--archive --out is required"),
        (["synthetic", "--out", "y", "--archive", "z.zip"], "not allowed with"),
    ],
)
def test_wrong_options_exit_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_ctrl_c_exits_with_130_and_leaves_nothing(archive, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("data_prep.senseurcity.readings.read_device", interrupted)
    assert main(["senseurcity", archive, "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"
    assert not (tmp_path / "out").exists()


def test_the_module_runs_as_a_command(tmp_path):
    command = [sys.executable, "-m", "data_prep", "describe", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_another_command_line_offers_the_same_commands(archive, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    options = parser.parse_args(["senseurcity", archive, "--out", str(tmp_path / "out")])
    options.run(options, Console())
    assert CityData.load(tmp_path / "out").values.tolist() == [[1], [2], [3], [4]]
