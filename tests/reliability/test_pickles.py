"""Nothing from outside is unpickled, so that opening a file cannot run a program."""

import ast
import gzip
import io
import pickle
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import data_prep
import tritonbn
from data_prep import DataError
from tritonbn.experiment import load_run, train
from tritonbn.experiment.networks.checkpoint import CheckpointError
from tritonbn.experiment.study.results import Results

readers = pytest.importorskip("reliability.readers", reason="one of the readers needs rdata")

UNPICKLING = {
    *("cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve"),
    *("numpy.load", "pandas.read_pickle", "torch.load"),
}
ALLOWED = {
    ("experiment/study/cluster.py", "pickle")
}  # messages of the workers of one's own cluster


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return Path.mkdir, (self.folder,)


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "evil")))
    assert (tmp_path / "evil").exists()


def test_nothing_that_unpickles_is_used() -> None:
    found = {
        (path.relative_to(root).as_posix(), name)
        for root in (Path(package.__file__).parent for package in (tritonbn, data_prep))
        for path in root.rglob("*.py")
        for name in _used(ast.parse(path.read_text("utf-8"))) & UNPICKLING
    }
    assert found == ALLOWED


def _used(tree: ast.AST) -> set[str]:
    """Return the modules and functions of libraries that a program uses, by their full names."""
    modules: dict[str, str] = {}
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names.add(f"{modules.get(node.value.id)}.{node.attr}")
    return names | {*modules.values()}


def traps(folder: Path) -> Iterator[bytes]:
    """Yield contents of files that would run a program if they were unpickled."""
    evil = Evil(folder)
    yield pickle.dumps(evil, protocol=0)
    yield pickle.dumps(evil)
    yield gzip.compress(pickle.dumps(evil))
    for write in (
        lambda file: torch.save(evil, file),
        lambda file: np.save(file, np.array([evil], object), allow_pickle=True),
        lambda file: pq.write_table(extension(pickle.dumps(evil)), file),
    ):
        buffer = io.BytesIO()
        write(buffer)
        yield buffer.getvalue()


def extension(content: bytes) -> pa.Table:
    """Return a table of readings whose values have a type that old versions of Arrow unpickle."""
    table = pa.Table.from_pandas(readers.readings())
    metadata = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": content,
    }
    fields = [*table.schema]
    fields[-1] = fields[-1].with_metadata(metadata)
    return table.cast(pa.schema(fields))


@pytest.mark.parametrize("name", readers.READERS)
def test_no_reader_unpickles(name: str, tmp_path: Path) -> None:
    reader, evil = readers.READERS[name], tmp_path / "evil"
    (tmp_path / "input").mkdir()
    path = reader.write(tmp_path / "input")
    for file in [file for file in (tmp_path / "input").rglob("*") if file.is_file()]:
        before = file.read_bytes()
        for trap in traps(evil):
            file.write_bytes(trap)
            with suppress(DataError):
                reader.read(path)
            assert not evil.exists()
        file.write_bytes(before)


def test_no_file_of_a_results_folder_is_unpickled(tmp_path: Path) -> None:
    city = data_prep.load_city("synthetic", days=7, grid=(8, 8))
    results, evil = tmp_path / "results", tmp_path / "evil"
    run = train(city, "cnn", directory=results, steps=2, test_times=40, progress=False)
    place = results / "runs" / run.config.name
    files = [file for file in results.rglob("*") if file.is_file()]
    assert len(files) > 10
    for file in files:
        before = file.read_bytes()
        for trap in traps(evil):
            file.write_bytes(trap)
            with suppress(CheckpointError, DataError):
                load_run(place)
            with suppress(DataError):
                Results.open(results).write_tables()
            with suppress(DataError):
                Results.open(results).estimates()
            assert not evil.exists()
        file.write_bytes(before)
    assert load_run(place).config == run.config
