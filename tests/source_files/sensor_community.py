"""Files in the layout of the archive of Sensor.Community."""

from datetime import datetime, timedelta
from pathlib import Path

HEADERS = {
    "SDS011": "P1;durP1;ratioP1;P2;durP2;ratioP2",
    "SPS30": "P1;P4;P2;P0;N10;N4;N25;N1;N05;TS",
    "PMS7003": "P1;P2;P0",
    "HPM": "P1;P2",
    "PPD42NS": "P1;durP1;ratioP1;P2;durP2;ratioP2",
    "DHT22": "temperature;humidity",
    "BME280": "pressure;altitude;pressure_sealevel;temperature;humidity",
}
CELLS = {
    "SDS011": "9.50;;;{};;",
    "SPS30": "4.00;3.90;{};3.50;29.00;29.00;29.00;29.00;24.00;0.50",
    "PMS7003": "5.00;{};1.00",
    "HPM": "22;{}",
    "PPD42NS": "0.62;0;0;{};0;0",
    "DHT22": "14.30;{}",
    "BME280": "96913.02;;;12.75;{}",
}
SITES = {
    12345: ("SDS011", 6801, "48.800", "9.003"),
    12347: ("SPS30", 6802, "48.774", "9.174"),
    12349: ("PMS7003", 6803, "48.832", "9.231"),
}
HOURS = 480
PER_HOUR = 4
START = datetime(2022, 5, 2, 0, 1, 40)


def row(
    sensor: int, time: datetime | str, value: object, kind: str | None = None, place: str = ""
) -> str:
    """Return a row of a sensor of a kind, by default its own at its own place."""
    own, location, latitude, longitude = SITES[sensor]
    kind = kind or own
    text = time if isinstance(time, str) else time.isoformat()
    place = place or f"{latitude};{longitude}"
    return f"{sensor};{kind};{location};{place};{text};{CELLS[kind].format(value)}"


def text_of(kind: str, rows: list[str]) -> str:
    """Return the text of a file with the readings of sensors of a kind."""
    header = f"sensor_id;sensor_type;location;lat;lon;timestamp;{HEADERS[kind]}"
    return "\n".join([header, *rows, ""])


def write_rows(root: Path, sensor: int, rows: list[str], kind: str | None = None) -> Path:
    """Write the file of a sensor and the first day at its place in the archive."""
    kind = kind or SITES[sensor][0]
    path = root / "2022-05-02" / f"2022-05-02_{kind.lower()}_sensor_{sensor}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(kind, rows), encoding="utf-8")
    return path


def readings(sensor: int) -> list[str]:
    """Return rows every 15 minutes; the mean of an hour is the last digit of the sensor + hour / 4.

    The readings of an hour are that mean minus 3, minus 1, plus 1 and plus 3.
    """
    return [
        row(sensor, START + timedelta(hours=hour, minutes=15 * part), f"{value:.2f}")
        for hour in range(HOURS)
        for part in range(PER_HOUR)
        for value in [sensor % 10 + hour / 4 + 2 * part - 3]
    ]


def write_months(root: Path) -> Path:
    """Write a monthly file of each kind of sensor."""
    root.mkdir(parents=True, exist_ok=True)
    for sensor, (kind, *_) in SITES.items():
        path = root / f"2022-05_{kind.lower()}.csv"
        path.write_text(text_of(kind, readings(sensor)), encoding="utf-8")
    return root
