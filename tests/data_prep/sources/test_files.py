import gzip
import zipfile

import pytest

from data_prep import DataError
from data_prep.sources.files import File, files_of


def test_files_of_a_folder_with_archives_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.csv").write_text("2")
    (tmp_path / "b" / "two.txt").write_text("no")
    (tmp_path / "one.csv.gz").write_bytes(gzip.compress(b"1"))
    with zipfile.ZipFile(tmp_path / "three.zip", "w") as archive:
        archive.writestr("deep/4.csv", "4")
        archive.writestr("deep/3.csv.gz", gzip.compress(b"3"))
        archive.writestr("read.me", "no")
    files = files_of(tmp_path, ("*.csv",))
    assert [file.name for file in files] == ["two.csv", "one.csv", "3.csv", "4.csv"]
    assert [file.read() for file in files] == [b"2", b"1", b"3", b"4"]
    assert str(files[2]) == f"{tmp_path / 'three.zip'}: deep/3.csv.gz"


def test_hidden_files_are_no_data(tmp_path):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    for name in ("a.csv", ".b.csv", ".ipynb_checkpoints/a-checkpoint.csv"):
        (tmp_path / name).write_text("1")
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        for name in ("c.csv", "__MACOSX/._c.csv", ".hidden/d.csv"):
            archive.writestr(name, "1")
    assert [file.name for file in files_of(tmp_path, ("*.csv",))] == ["a.csv", "c.csv"]


def test_a_single_file_may_have_any_name(tmp_path):
    path = tmp_path / "readings.2024"
    path.write_text("1")
    assert files_of(path, ("*.csv",)) == [File(path)]


def test_members_that_point_elsewhere_are_read_in_place(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../evil.csv", "1")
        archive.writestr("/etc/evil.csv", "2")
    files = files_of(tmp_path / "a.zip", ("*.csv",))
    assert [file.read() for file in files] == [b"1", b"2"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("kind", ["gz", "zip", "gz in zip"])
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("data_prep.sources.files._SMALLEST_LIMIT", 1 << 20)
    zeros = bytes(1 << 24)
    path = tmp_path / f"bomb.csv.{kind[:2]}" if kind == "gz" else tmp_path / "bomb.zip"
    if kind == "gz":
        path.write_bytes(gzip.compress(zeros))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            packed = gzip.compress(zeros) if kind == "gz in zip" else zeros
            archive.writestr("bomb.csv" + ".gz" * (kind == "gz in zip"), packed)
    (file,) = files_of(path, ("*.csv",))
    with pytest.raises(DataError, match="expands to more than 200 times its size"):
        file.read()


def truncated(data):
    return data[: len(data) // 2]


@pytest.mark.parametrize("damage", [truncated, lambda data: b"no archive"])
@pytest.mark.parametrize("kind", ["csv.gz", "zip"])
def test_a_damaged_file_is_named(tmp_path, damage, kind):
    path = tmp_path / f"a.{kind}"
    content = bytes(range(256)) * 100
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", content)
    else:
        path.write_bytes(gzip.compress(content))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"a\.{kind} cannot be read"):
        _ = [file.read() for file in files_of(path, ("*.csv",))]


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(DataError, match=r"there is no file or folder '.*nowhere'"):
        files_of(tmp_path / "nowhere", ("*.csv",))
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=r"has no file with a name such as \*\.csv, \*\.tsv"):
        files_of(tmp_path, ("*.csv", "*.tsv"))
