import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import numpy as np
import pytest
from rich.progress import Progress
from source_files import openaq

from data_prep import DataError, load_city
from data_prep.download import RETRIES
from data_prep.sources.openaq_download import download_openaq

ROOT = "records/csv.gz/"
FIRST = f"{ROOT}locationid=2178/year=2022/month=05/location-2178-20220502.csv.gz"


class Bucket(ThreadingHTTPServer):
    """A public bucket of S3 on the loopback interface."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = files
        self.etags = {key: hashlib.md5(content).hexdigest() for key, content in files.items()}
        self.page = 1000
        self.list_answers = []  # to be given first: statuses, or texts
        self.cut = {}  # how many transfers of a key are cut short
        self.damaged = {}  # how many transfers of a key have another content
        self.lists, self.transfers = [], []

    def list(self, query):
        keys = sorted(key for key in self.files if key.startswith(query["prefix"]))
        begin = int(query.get("continuation-token", "page 0").removeprefix("page "))
        end = begin + self.page
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2024-01-01T00:00:00.000Z"
            f"</LastModified><ETag>&quot;{self.etags[key]}&quot;</ETag>"
            f"<Size>{len(self.files[key])}</Size></Contents>"
            for key in keys[begin:end]
        )
        more = end < len(keys)
        token = f"<NextContinuationToken>page {end}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>archive</Name>{token}<IsTruncated>{str(more).lower()}</IsTruncated>{contents}"
            "</ListBucketResult>"
        )


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        bucket, parts = self.server, urlsplit(self.path)
        key = unquote(parts.path).lstrip("/")
        if not key:
            query = {name: value for name, (value,) in parse_qs(parts.query).items()}
            assert query["list-type"] == "2"
            bucket.lists.append(query)
            answer = bucket.list_answers.pop(0) if bucket.list_answers else bucket.list(query)
            if isinstance(answer, int):
                self.send_error(answer)
            else:
                self.reply(answer.encode())
            return
        bucket.transfers.append(key)
        content = bucket.files[key]
        if bucket.cut.get(key, 0):
            bucket.cut[key] -= 1
            self.reply(content, sent=len(content) // 2)
        elif bucket.damaged.get(key, 0):
            bucket.damaged[key] -= 1
            self.reply(content[:-1] + b"?")
        else:
            self.reply(content)

    def reply(self, content, sent=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:sent])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return openaq.write_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def bucket(archive):
    files = {
        f"{ROOT}{path.relative_to(archive).as_posix()}": path.read_bytes()
        for path in archive.rglob("*.csv.gz")
    }
    with Bucket(files) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def fetch(bucket, tmp_path, monkeypatch):
    """Download a location from the loopback interface, without waiting between attempts."""
    monkeypatch.setattr("time.sleep", lambda _: None)

    def fetch(locations=(2178,), start="2022-05-02", end="2022-05-04", **options):
        options = {"directory": tmp_path / "records", "url": bucket.url} | options
        return download_openaq(locations, start, end, progress=False, **options)

    return fetch


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def days(location, *numbers):
    return [f"location-{location}-202205{day:02}.csv.gz" for day in numbers]


def test_the_folder_is_read_as_the_archive(archive, bucket, fetch):
    bucket.page = 7
    folder = fetch([2178, "2179", 2180, 2178], end="2022-05-31")
    assert len(bucket.transfers) == 60
    assert len(bucket.lists) == 3 * 3  # 20 files of each location
    ours, expected = (
        load_city(f"openaq:{path}", grid=(8, 8), progress=False) for path in (folder, archive)
    )
    np.testing.assert_array_equal(ours.values, expected.values)
    np.testing.assert_array_equal(ours.times, expected.times)
    assert ours.stations.equals(expected.stations)


def test_only_the_days_of_the_period_arrive(bucket, fetch):
    assert names(fetch(start="2022-05-03", end="2022-05-04")) == days(2178, 3, 4)


def test_a_period_may_go_on_over_the_years(bucket, fetch):
    keys = [
        f"{ROOT}locationid=7/year={day[:4]}/month={day[4:6]}/location-7-{day}.csv.gz"
        for day in ("20201230", "20201231", "20210101", "20220630", "20220701")
    ]
    for key in keys:
        bucket.files[key] = key.encode()
        bucket.etags[key] = hashlib.md5(key.encode()).hexdigest()
    fetch([7], "2020-12-31", "2022-06-30")
    assert sorted(bucket.transfers) == keys[1:4]


def test_what_is_there_and_right_is_not_transferred_again(bucket, fetch):
    folder = fetch()
    damaged = next(folder.rglob("*20220503*"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    bucket.transfers.clear()
    fetch()
    assert bucket.transfers == [FIRST.replace("20220502", "20220503")]
    assert damaged.read_bytes() == bucket.files[bucket.transfers[0]]


@pytest.mark.parametrize("fault", ["cut", "damaged"])
def test_a_bad_transfer_is_repeated(bucket, fetch, fault):
    getattr(bucket, fault)[FIRST] = 2
    folder = fetch()
    assert bucket.transfers.count(FIRST) == 3
    assert next(folder.rglob("*20220502*")).read_bytes() == bucket.files[FIRST]


@pytest.mark.parametrize("fault", ["cut", "damaged"])
def test_an_interrupted_download_continues(bucket, fetch, tmp_path, fault):
    getattr(bucket, fault)[FIRST] = 1 + RETRIES
    with pytest.raises(DataError, match=r"location-2178-20220502.csv.gz could not be downloaded"):
        fetch(end="2022-05-12")
    assert bucket.transfers.count(FIRST) == 1 + RETRIES
    there = names(tmp_path)
    assert {*there} <= {*days(2178, *range(3, 13))}  # neither the file nor a part of it
    bucket.transfers.clear()
    assert names(fetch(end="2022-05-12")) == days(2178, *range(2, 13))
    assert len(bucket.transfers) == 11 - len(there)


def test_a_list_that_fails_is_asked_for_again(bucket, fetch):
    bucket.list_answers = [503, 500]
    assert names(fetch()) == days(2178, 2, 3, 4)
    assert len(bucket.lists) == 3


def test_files_without_an_md5_are_taken_as_they_come(bucket, fetch):
    bucket.etags = dict.fromkeys(bucket.files, f"{'0' * 32}-2")  # of an upload in parts
    assert names(fetch()) == days(2178, 2, 3, 4)
    fetch()
    assert len(bucket.transfers) == 3


def test_keys_that_leave_the_folder_are_left_out(bucket, fetch, tmp_path):
    folder = FIRST.rpartition("/")[0]
    for key in (
        f"{folder}/../../../../../location-2178-20220502.csv.gz",
        f"{folder}/..",
        f"{ROOT}locationid=2178/year=2022/../location-2178-20220502.csv.gz",
        f"{ROOT}locationid=2178/year=2022/month=05/",
        f"{FIRST}\n",
    ):
        bucket.files[key], bucket.etags[key] = b"elsewhere", hashlib.md5(b"elsewhere").hexdigest()
    fetch()
    assert names(tmp_path) == days(2178, 2, 3, 4)
    assert len(bucket.transfers) == 3


def test_a_list_is_never_trusted_to_hold_to_its_prefix(bucket, fetch):
    bucket.list_answers = [bucket.list({"prefix": f"{ROOT}locationid=2179/"})]
    with pytest.raises(DataError, match="no files of location 2178"):
        fetch()


def test_a_location_without_files_is_named(fetch, bucket):
    with pytest.raises(DataError, match="no files of location 99 from 2022-05-02 to 2022-05-04"):
        fetch([2178, 99])
    assert bucket.transfers == []


@pytest.mark.parametrize(
    "answer",
    [
        404,
        '<!DOCTYPE list [<!ENTITY a "aaaa">]><list>&a;</list>',
        "<ListBucketResult><Contents>",
        "not found",
    ],
)
def test_a_list_that_cannot_be_read_is_an_error(bucket, fetch, answer):
    bucket.list_answers = [answer]
    with pytest.raises(DataError, match=rf"{bucket.url} does not list .*locationid=2178/"):
        fetch()


def test_without_a_network_the_error_names_the_server(fetch):
    with pytest.raises(DataError, match=r"^127\.0\.0\.1:9 cannot be reached \(Connection refused"):
        fetch(url="http://127.0.0.1:9")


def test_bounds_leave_out_locations_after_their_first_file(bucket, fetch):
    folder = fetch([2178, 2179, 2180], bounds=(-106.6, 35.1, -106.5, 35.2))
    assert names(folder) == days(2178, 2, 3, 4)
    assert sorted({key for key in bucket.transfers if "2178" not in key}) == [
        FIRST.replace("2178", "2179"),
        FIRST.replace("2178", "2180"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"locations": []}, r"locations must be numbers of locations of OpenAQ, got \[\]"),
        ({"locations": 2.5}, r"locations must be numbers of locations of OpenAQ, got \['2.5'\]"),
        ({"locations": ["../2178"]}, r"locations must be numbers .* got \['../2178'\]"),
        ({"start": "05/02/2022"}, "must be days such as 2022-05-02, got 05/02/2022 and 2022-05-04"),
        ({"start": "2022-05-05"}, "start must not be after end, got 2022-05-05 and 2022-05-04"),
        ({"bounds": (0, 50, 1, 40)}, "bounds must be west, south, east, north"),
        ({"bounds": (0, 40, 1, 50)}, r"none of the locations is inside the bounds \(0, 40, 1, 50"),
    ],
)
def test_bad_parameters_are_refused(fetch, tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        fetch(**options)
    assert names(tmp_path) == []


def test_each_request_has_a_folder_of_its_own_in_the_cache(fetch, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITONBN_DATA", str(tmp_path / "cache"))
    folder = fetch(directory=None)
    assert folder.is_relative_to(tmp_path / "cache")
    assert fetch(directory=None) == folder
    assert fetch([2179], directory=None) != folder
    assert names(folder) == days(2178, 2, 3, 4)


def test_the_progress_bar_counts_files(bucket, fetch, tmp_path, monkeypatch):
    bar = Progress(disable=True)
    monkeypatch.setattr("data_prep.sources.openaq_download.progress_bar", lambda shown: bar)
    fetch([2178, 2179])
    assert [(task.description, task.completed, task.total) for task in bar.tasks] == [
        ("finding files", 2, 2),
        ("downloading files", 6, 6),
    ]


@pytest.mark.parametrize("location", ["2178", 2178, np.int64(2178)])
def test_a_single_location_needs_no_list(bucket, tmp_path, location):
    folder = download_openaq(
        location, "2022-05-02", "2022-05-02", tmp_path, url=bucket.url, progress=False
    )
    found = {path.parents[2].name for path in folder.rglob("*.gz")}
    assert found == {"locationid=2178"}
