import hashlib
import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.progress import Progress

from data_prep.city import DataError
from data_prep.download import RETRIES
from data_prep.senseurcity.download import FILE, download

CONTENT = bytes(range(256)) * 20_000


class Zenodo(ThreadingHTTPServer):
    """A record with one file, on the loopback interface."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.record = {
            "files": [
                {"key": "readme.pdf", "checksum": "md5:0", "links": {"self": "http://127.0.0.1:1"}},
                {
                    "key": FILE,
                    "checksum": f"md5:{hashlib.md5(CONTENT).hexdigest()}",
                    "links": {"self": f"{self.url}/files/{FILE}/content"},
                },
            ],
        }
        self.broken_transfers = 0
        self.status = 200
        self.stalls = threading.Event()
        self.continues = threading.Event()
        self.requests = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path == "/record":
            self.reply(json.dumps(self.server.record).encode())
        elif self.server.status != 200:
            self.send_error(self.server.status)
        elif self.path == f"/files/{FILE}/content":
            broken = self.server.broken_transfers > 0
            self.server.broken_transfers -= 1
            self.reply(CONTENT, sent=len(CONTENT) // 3 if broken else len(CONTENT))
        else:
            self.send_error(404)

    def reply(self, content, sent=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.stalls.is_set() and len(content) == len(CONTENT):
            self.wfile.write(content[: 3 << 20])
            self.server.continues.wait()
        self.wfile.write(content[:sent])

    def log_message(self, *_):
        pass


@pytest.fixture
def zenodo():
    with Zenodo() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.continues.set()
        server.shutdown()


@pytest.fixture
def fetch(zenodo, tmp_path, monkeypatch):
    """Download from the loopback interface into `tmp_path`, without waiting between attempts."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    return lambda **options: download(
        tmp_path, record_url=f"{zenodo.url}/record", progress=False, **options
    )


def test_the_file_of_the_record_arrives(zenodo, fetch, tmp_path):
    path = fetch()
    assert path == tmp_path / FILE
    assert path.read_bytes() == CONTENT
    assert zenodo.requests == ["/record", f"/files/{FILE}/content"]


def test_what_is_there_and_right_is_not_transferred_again_not_even_the_record(zenodo, fetch):
    fetch()
    zenodo.requests.clear()
    assert fetch().read_bytes() == CONTENT
    assert zenodo.requests == []


def test_what_is_there_and_wrong_is_replaced(zenodo, fetch, tmp_path):
    fetch().write_bytes(CONTENT[:1000])
    assert fetch().read_bytes() == CONTENT
    (tmp_path / FILE).unlink()
    assert fetch().read_bytes() == CONTENT
    assert len(zenodo.requests) == 5


def test_a_file_put_there_by_hand_is_checked_and_used(zenodo, fetch, tmp_path):
    (tmp_path / FILE).write_bytes(CONTENT)
    fetch()
    assert zenodo.requests == ["/record"]


def test_a_broken_transfer_starts_again(zenodo, fetch):
    zenodo.broken_transfers = 2
    assert fetch().read_bytes() == CONTENT
    assert zenodo.requests.count(f"/files/{FILE}/content") == 3


def test_transfers_that_keep_breaking_are_an_error_and_leave_no_file(zenodo, fetch, tmp_path):
    zenodo.broken_transfers = 100
    with pytest.raises(DataError, match=f"{FILE} could not be downloaded"):
        fetch()
    assert list(tmp_path.iterdir()) == []
    assert zenodo.requests.count(f"/files/{FILE}/content") == 1 + RETRIES


@pytest.mark.parametrize(
    ("status", "transfers"), [(404, 1), (429, 1 + RETRIES), (503, 1 + RETRIES)]
)
def test_only_what_may_change_is_asked_for_again(zenodo, fetch, status, transfers):
    zenodo.status = status
    with pytest.raises(DataError, match=f"{FILE} could not be downloaded: {status}"):
        fetch()
    assert zenodo.requests.count(f"/files/{FILE}/content") == transfers


def test_a_wrong_checksum_is_an_error_and_leaves_no_file(zenodo, fetch, tmp_path):
    right = zenodo.record["files"][1]["checksum"]
    zenodo.record["files"][1]["checksum"] = "md5:" + "0" * 32
    with pytest.raises(DataError, match=f"{FILE} could not be downloaded: .* hash"):
        fetch()
    assert list(tmp_path.iterdir()) == []
    zenodo.record["files"][1]["checksum"] = right
    assert fetch().read_bytes() == CONTENT


@pytest.mark.parametrize("record", [{}, {"files": []}, {"message": "gone", "files": None}, []])
def test_a_record_without_the_file_is_an_error(zenodo, fetch, tmp_path, record):
    zenodo.record = record
    with pytest.raises(DataError, match=f"/record does not describe {FILE}"):
        fetch()
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_error_names_the_server_and_the_way_out(tmp_path):
    expected = r"^127\.0\.0\.1:9 cannot be reached \(Connection refused\)\. If .*, or NAME:PATH$"
    with pytest.raises(DataError, match=expected):
        download(tmp_path, record_url="http://127.0.0.1:9/record", progress=False)


COMMAND = """
import signal
import sys
from functools import partial
from pathlib import Path
from data_prep import cli
from data_prep.senseurcity.download import download
cli.download = partial(download, record_url=sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
sys.exit(cli.main(["download", "--cache", sys.argv[1]]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_remains_of_a_download_that_is_ended(zenodo, fetch, tmp_path, number):
    zenodo.stalls.set()
    arguments = [sys.executable, "-c", COMMAND, str(tmp_path), f"{zenodo.url}/record"]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    while sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 << 20:
        assert process.poll() is None
    process.send_signal(number)
    left = {signal.SIGTERM: (143, 0), signal.SIGINT: (130, 0), signal.SIGKILL: (-9, 1)}
    assert (process.wait(), len([*tmp_path.iterdir()])) == left[number]
    zenodo.stalls.clear()
    path = fetch()
    assert path.read_bytes() == CONTENT
    assert {*tmp_path.iterdir()} == {path, tmp_path / "senseurcity_registry.txt"}


def test_the_environment_moves_the_cache(zenodo, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITONBN_DATA", str(tmp_path / "elsewhere"))
    path = download(record_url=f"{zenodo.url}/record", progress=False)
    assert path == tmp_path / "elsewhere" / FILE


def test_the_progress_bar_is_full_in_the_end(zenodo, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("time.sleep", lambda _: None)
    bars = []

    class Recorded(Progress):
        def __init__(self, *columns, **options):
            super().__init__(*columns, **options)
            bars.append(self)

    monkeypatch.setattr("data_prep.progress.Progress", Recorded)
    zenodo.broken_transfers = 1
    download(tmp_path, record_url=f"{zenodo.url}/record")
    (task,) = bars[0].tasks
    assert (task.completed, task.total) == (len(CONTENT), len(CONTENT))
    assert capfd.readouterr() == ("", ""), "not even an empty line, since it is no terminal"
