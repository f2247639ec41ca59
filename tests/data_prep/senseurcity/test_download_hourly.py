import hashlib
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from data_prep.city import DataError
from data_prep.download import RETRIES
from data_prep.senseurcity.download import (
    HOURLY_FILE,
    HOURLY_SHA256,
    HOURLY_URL,
    download_hourly,
)

REAL = Path(os.environ.get("TRITONBN_REAL_DATA", "")) / "senseurcity_hourly" / "LCS_df_all.Rda"
needs_real_file = pytest.mark.skipif(
    "TRITONBN_REAL_DATA" not in os.environ or not REAL.is_file(),
    reason="TRITONBN_REAL_DATA names no folder with the hourly file",
)


@needs_real_file
def test_the_checksum_is_that_of_the_real_file():
    assert hashlib.sha256(REAL.read_bytes()).hexdigest() == HOURLY_SHA256


CONTENT = bytes(range(256)) * 2_000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


class GitHub(ThreadingHTTPServer):
    """A file on the loopback interface."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/LCS_df_all.Rda"
        self.content = CONTENT
        self.requests = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def github(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)  # no waiting between attempts
    monkeypatch.setattr("data_prep.senseurcity.download.HOURLY_SHA256", CHECKSUM)
    with GitHub() as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_the_file_arrives_and_is_then_there_without_a_network(github, tmp_path):
    path = download_hourly(tmp_path, url=github.url, progress=False)
    assert path == tmp_path / HOURLY_FILE
    assert path.read_bytes() == CONTENT
    again = download_hourly(tmp_path, url="http://127.0.0.1:9/", progress=False)
    assert again.read_bytes() == CONTENT
    assert github.requests == 1


def test_a_wrong_checksum_is_an_error_and_leaves_no_file(github, tmp_path):
    github.content = CONTENT[:-1] + b"!"
    with pytest.raises(DataError, match=f"{HOURLY_FILE} could not be downloaded: .* hash"):
        download_hourly(tmp_path, url=github.url, progress=False)
    assert list(tmp_path.iterdir()) == []
    assert github.requests == 1 + RETRIES


def test_what_is_there_and_wrong_is_replaced(github, tmp_path):
    (tmp_path / HOURLY_FILE).write_bytes(CONTENT[:1000])
    path = download_hourly(tmp_path, url=github.url, progress=False)
    assert path.read_bytes() == CONTENT


def test_without_a_network_the_error_names_the_server(github, tmp_path):
    with pytest.raises(DataError, match=r"^127\.0\.0\.1:9 cannot be reached \(Connection refused"):
        download_hourly(tmp_path, url="http://127.0.0.1:9/", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_environment_moves_the_cache(github, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITONBN_DATA", str(tmp_path / "elsewhere"))
    path = download_hourly(url=github.url, progress=False)
    assert path == tmp_path / "elsewhere" / HOURLY_FILE


def test_the_address_is_of_a_fixed_commit():
    assert HOURLY_URL.endswith(f"/235bb3391171bb23b1cc590fbe17a4a050a6caaa/INPUTS/{HOURLY_FILE}")
