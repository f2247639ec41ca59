import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch
from cli_commands import TRAIN, error_of
from small_city import TINY

from tritonbn import __main__
from tritonbn.cli import main
from tritonbn.experiment.networks.presets import PRESETS
from tritonbn.experiment.study.results import Results


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["reproduce", "--preset", "slow"], "invalid choice: 'slow'"),
        (["reproduce", "--protocols", "open"], "invalid choice: 'open'"),
        (["reproduce", "--seeds", "0"], "expected a number of at least 1, got '0'"),
        (["reproduce", "--grid", "32"], "2x2 cells as HEIGHTxWIDTH, such as 32x32, got '32'"),
        (["reproduce", "--grid", "32x1"], "got '32x1'"),
        (["reproduce", "--device", "abacus"], "this machine has no device 'abacus'"),
        (["reproduce", "--device", "meta"], "this machine has no device 'meta'"),
        (["train", "--norm", "local"], "required: --backbone"),
        (["data", "synthetic"], "required"),
        ([*TRAIN, "--seed", "-1"], "expected a number of at least 0, got '-1'"),
    ],
)
def test_wrong_options_are_one_line(
    arguments: list[object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_of(arguments, capsys)


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    for command in ("reproduce", "compare", "train", "evaluate", "heatmap", "map", "data", "bench"):
        assert command in shown


def test_train_says_where_the_run_is(
    data: Path, out: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TRAIN, "--data", str(data), "--out", str(out)]) == 0
    assert f"The run is in {run}" in capsys.readouterr().out
    assert Results.open(out).city.grid == (6, 7)


def test_without_out_the_results_are_named_after_the_data(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN, "--data", str(data), "--grid", "4x4"]) == 0
    assert (tmp_path / "results" / data.name / "runs" / "cnn-dense-local-paper-0").is_dir()


def test_evaluate_shows_every_station_and_idw(
    out: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run)]) == 0
    shown = capsys.readouterr().out
    stations = Results.open(out).stations()
    for name, rows in stations.groupby("station"):
        assert re.search(
            rf"{name}.* {rows['rmse'].iloc[0]:.2f} .* {rows['rmse'].iloc[1]:.2f} ", shown
        )
    of_run, of_idw = Results.open(out).runs()["sprmse"]
    assert re.search(rf"CNN .*local .* {of_run:.2f} ", shown)
    assert re.search(rf"IDW .* {of_idw:.2f} ", shown)


@pytest.mark.parametrize(
    ("choices", "name"),
    [
        (
            "--design residual --norm none --seed 3 --without idw",
            "cnn-residual-without-idw-none-masked-3",
        ),
        (
            "--head convolution --protocol masked --scaling percentile",
            "cnn-convolution-percentile-local-masked-0",
        ),
    ],
)
def test_train_trains_the_network_asked_for(
    data: Path, tmp_path: Path, choices: str, name: str
) -> None:
    place = ["--data", str(data), "--grid", "4x4", "--out", str(tmp_path)]
    assert main([*TRAIN, *choices.split(), *place]) == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]


def test_reproduce_trains_the_networks_with_what_is_asked_for(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "quick", TINY | {"steps": 1})
    choices = "--head convolution --scaling percentile --protocols masked --seeds 2 --jobs 1"
    place = ["--station", "West", "--data", str(data), "--grid", "6x7", "--out", str(tmp_path)]
    assert main(["reproduce", *choices.split(), *place]) == 0
    table = pd.read_csv(tmp_path / "results.csv")
    rows = table[["protocol", "model", "norm", "seed"]].itertuples(index=False, name=None)
    assert [*rows] == [
        *(
            ("masked", f"{backbone}-convolution-percentile", norm, seed)
            for backbone in ("convlstm", "cnn")
            for norm in ("none", "global", "local")
            for seed in (0, 1)
        ),
        ("masked", "idw", "-", 0),
    ]
    assert (tmp_path / "heatmap_14.png").exists()


def test_train_refuses_residual_networks_where_nothing_is_hidden(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    command = [*TRAIN, "--design", "residual", "--data", str(data), "--out", str(out)]
    line = error_of([*command, "--protocol", "paper"], capsys)
    assert "residual networks learn from hidden stations; protocol paper hides none" in line
    assert not out.exists()


def test_train_refuses_heads_and_norms_that_do_not_go_together(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ["--data", str(data), "--out", str(tmp_path / "o")]
    for backbone, norm, head, design, message in (
        ("cnn", "scaled", "convolution", "published", "norm scaled needs an unbounded output"),
        ("cnn-lstm", "none", "convolution", "published", "there is no CNN-LSTM (convolution)"),
        ("cnn", "none", "dense", "residual", "residual networks have the head convolution"),
    ):
        choices = ["--norm", norm, "--head", head, "--design", design]
        command = ["train", "--backbone", backbone, *choices, *rest]
        assert message in error_of(command, capsys)
    assert not (tmp_path / "o").exists()


def test_results_of_another_version_are_refused(
    out: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(out, tmp_path / "old")
    facts = json.loads((tmp_path / "old" / "config.json").read_text("utf-8"))
    del facts["format"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(facts), "utf-8")
    command = [*TRAIN, "--data", str(data), "--grid", "6x7", "--out", str(tmp_path / "old")]
    line = error_of(command, capsys)
    assert "old was made by another version of tritonbn (format None, this one reads" in line
    assert line.endswith("; choose another folder (--out)\n")


def test_a_station_or_time_that_does_not_exist_is_an_error(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "picture.png"
    command = ["heatmap", run, "--out", picture]
    assert "no station 9999" in error_of([*command, "--station", "9999"], capsys)
    assert "no time 2023-01-01" in error_of([*command, "--time", "2023-01-01"], capsys)
    error_of([*command, "--time", "2024-01-01"], capsys)  # the first: nothing to predict it from
    assert not picture.exists()
    line = error_of(["heatmap", run, "--out", tmp_path / "picture.pdf"], capsys)
    assert "--out must be a file that ends in .png" in line


def test_a_folder_that_is_no_run_or_no_data_set_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is no run" in error_of(["evaluate", tmp_path], capsys)
    command = ["reproduce", "--data", tmp_path, "--out", tmp_path / "out"]
    assert "has no known format; expected one of" in error_of(command, capsys)
    assert not (tmp_path / "out").exists()


def test_results_of_another_preset_are_refused(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["reproduce", "--data", data, "--out", out, "--preset", "paper"]
    assert (
        "preset is quick in the folder, but paper was requested; choose another folder (--out)"
        in error_of(command, capsys)
    )


@pytest.mark.parametrize("place", [".", "data"], ids=["folder", "its data"])
def test_a_folder_of_data_does_not_become_one_of_results(
    place: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = shutil.copytree(data, tmp_path / "mine" / place)
    before = {path: path.read_bytes() for path in mine.iterdir()}
    line = error_of([*TRAIN, "--data", mine, "--out", tmp_path / "mine"], capsys)
    assert "mine holds data, not results; choose another folder (--out)" in line
    assert {path: path.read_bytes() for path in mine.iterdir()} == before


def test_a_refused_command_does_not_decide_the_preset_of_the_next_one(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(PRESETS, "paper", PRESETS["quick"])
    place = ["--data", str(data), "--grid", "4x4", "--out", str(tmp_path)]
    assert "no station NOPE" in error_of(["reproduce", "--station", "NOPE", *place], capsys)
    assert main([*TRAIN, "--preset", "paper", *place]) == 0
    assert f"{tmp_path}: preset paper\n" in capsys.readouterr().out


def test_out_that_is_a_file_is_an_error(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    command = ["reproduce", "--data", data, "--out", file / "out"]
    assert error_of(command, capsys) == f"tritonbn: error: Not a directory: {file}\n"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_out_that_may_not_be_written_is_an_error(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o500)
    command = ["reproduce", "--data", data, "--out", tmp_path / "out"]
    assert "Permission denied" in error_of(command, capsys)


@pytest.mark.parametrize("method", ["write_text", "write_bytes"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    method: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write_half(path: Path, content: str | bytes, **_: object) -> None:
        with path.open("wb") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    command = [*TRAIN, "--data", str(data), "--grid", "4x4", "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr(Path, method, write_half)
        line = error_of(command, capsys)
    assert "No space left on device" in line
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or path.read_bytes() != b"half"
    assert main(command) == 0


def test_ctrl_c_says_how_to_resume(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    command = [*TRAIN, "--data", str(data), "--grid", "4x4", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr("tritonbn.experiment.study.display.RunDisplay.on_progress", interrupt)
        assert main(command) == 130
    shown = capsys.readouterr().err
    assert shown == "tritonbn: interrupted; the same command resumes the work\n"
    assert main(command) == 0


def test_ctrl_c_promises_nothing_where_nothing_resumes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tritonbn.doctor.run_doctor", interrupt)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "tritonbn: interrupted\n"


def test_ctrl_c_during_the_imports_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "tritonbn.cli", Interrupted("tritonbn.cli"))
    assert __main__.main() == 130
    assert capsys.readouterr().err == "tritonbn: interrupted\n"


def test_a_bug_shows_its_traceback(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("tritonbn.cli.study.load_run", fail)
    with pytest.raises(ValueError, match="a bug"):
        main(["evaluate", str(run)])


def test_bench_runs_on_the_device_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []
    monkeypatch.setattr(
        "tritonbn.cli.kernels.run_bench", lambda options, console: devices.append(options.device)
    )
    assert main(["bench", "--device", "cpu"]) == main(["bench"]) == 0
    assert devices == [torch.device("cpu"), None]


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "tritonbn", "evaluate", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("tritonbn: error: nowhere is no run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to tune on")
@pytest.mark.parametrize(
    ("arguments", "interpreted", "words"),
    [
        (["tune", "--channels", "4"], False, "tune needs a CUDA or ROCm GPU"),
        (["kernels"], True, "the kernels are interpreted; unset it"),
        (["kernels", "--targets", "sm_9"], False, "targets must be among sm_75, .*; got sm_9"),
    ],
)
def test_commands_of_the_kernels_say_what_they_lack(arguments, interpreted, words):
    """In a process of their own: whether kernels are interpreted is settled at their import."""
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    command = [sys.executable, "-m", "tritonbn", *arguments]
    environment = os.environ | {"TRITON_INTERPRET": "1" if interpreted else "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert re.search(words, done.stderr)
