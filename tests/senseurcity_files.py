"""Archives in the SensEURCity layout, small and written by hand."""

import csv
import io
import zipfile
from pathlib import Path

COLUMNS = (
    "date",
    "latitude",
    "longitude",
    "altitude",
    "Location.ID",
    "SHT31HE",
    "5325CAT",
    "OPCN3PM25",
    "OPCN3PM10",
    "OPCN3PM10_flag",
    "5325CAT_flag",
    "OPCN3PM25_flag",
    "Ref.PM2.5",
)


def stay(site, first, values, flags=None, **more):
    """Return one row a minute from `first` on, like ``"2020-07-01T10:00"``, at one site."""
    year_to_hour, minute = first[:-2], int(first[-2:])
    return [
        {
            "date": f"{year_to_hour}{minute + i:02}:00Z",
            "Location.ID": site,
            "OPCN3PM25": value,
            "OPCN3PM25_flag": flag,
            **more,
        }
        for i, (value, flag) in enumerate(zip(values, flags or [""] * len(values), strict=True))
    ]


def device_csv(rows, without=()):
    """Return the file of a device; what a row lacks is an empty cell."""
    text = io.StringIO()
    columns = [column for column in COLUMNS if column not in without]
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_archive(path, files, folder="dataset"):
    """Write files, a dict of name to text or rows, into a zip or (without that ending) a folder."""
    texts = {
        str(Path(folder) / name): content if isinstance(content, str) else device_csv(content)
        for name, content in files.items()
    }
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
    else:
        for name, text in texts.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text, encoding="utf-8")
    return path
