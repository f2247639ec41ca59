"""Files in the layout of the PurpleAir API and of its Data Download Tool."""

from pathlib import Path

HEADER = "time_stamp,sensor_index,humidity,temperature,pm2.5_cf_1_a,pm2.5_cf_1_b"
SENSORS = {
    896: ("Del Norte", "35.1353", "-106.584702", 0),
    12345: ("South Valley", "35.0170", "-106.657304", 0),
    146400: ("Foothills", "35.0539", "-106.479403", 0),
    200001: ("Living room", "35.1000", "-106.500000", 1),
}
OUTSIDE = (896, 12345, 146400)
HOURS = 480
START = 1651449600
"""2022-05-02T00:00:00Z"""


def write_sensors(folder: Path, header: str = "sensor_index,name,location_type") -> Path:
    """Write the table of the sensors, with the columns of `header`, latitude and longitude."""
    lines = [f"{header},latitude,longitude"]
    for sensor, (name, latitude, longitude, kind) in SENSORS.items():
        cells = {"sensor_index": sensor, "name": name, "location_type": kind}
        own = ",".join(str(cells[column]) for column in header.split(","))
        lines.append(f"{own},{latitude},{longitude}")
    path = folder / "sensors.csv"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def row(sensor: int, time: object, a: object, b: object, humidity: object = 40) -> str:
    """Return a row of the API."""
    return f"{time},{sensor},{humidity},68,{a},{b}"


def write_rows(
    folder: Path, rows: list[str], header: str = HEADER, name: str = "history.csv"
) -> Path:
    """Write a file of readings."""
    path = folder / name
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def write_histories(folder: Path) -> Path:
    """Write the history of each sensor; the mean of its channels is its last digit + hour / 4."""
    for sensor in SENSORS:
        rows = []
        for hour in reversed(range(HOURS)):  # the API does not sort
            value = sensor % 10 + hour / 4
            rows.append(row(sensor, START + 3600 * hour, value + 0.25, value - 0.25))
        write_rows(folder, rows, name=f"{sensor}.csv")
    return folder
