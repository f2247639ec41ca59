import io

import numpy as np
import pytest
from senseurcity_files import device_csv, stay

from data_prep.city import DataError
from data_prep.senseurcity.device import canonical_site, read_device, read_header
from data_prep.senseurcity.sites import antwerp_sites

HOUR = "2020-07-01T10:"
SITES = set(antwerp_sites()["site"])


def read(content, quantity="OPCN3PM25", accepts=SITES.__contains__, name="Antwerp_402B00.csv"):
    text = content if isinstance(content, str) else device_csv(content)
    source = io.BytesIO(text.encode())
    header = read_header(source, name)
    source.seek(0)
    return read_device(source, name, header, quantity, accepts)


def entries(device):
    """What a device measured, as a dict of (hour and minute, site) to value; None = no reading."""
    times = device.minute.astype("datetime64[m]").astype(str)
    return {
        (time[-5:], device.sites[site]): None if np.isnan(value) else value
        for time, site, value in zip(times, device.site, device.value.tolist(), strict=True)
    }


def test_a_reading_belongs_to_the_minute_and_to_the_site_where_the_device_stood():
    device = read(
        [*stay("ANT_REF_R801", HOUR + "00", [1.5, 2.5]), *stay("ANT_URB_LANG", HOUR + "04", [3.5])]
    )
    assert device.name == "Antwerp_402B00"
    assert entries(device) == {
        ("10:00", "ANT_REF_R801"): 1.5,
        ("10:01", "ANT_REF_R801"): 2.5,
        ("10:04", "ANT_URB_LANG"): 3.5,
    }


def test_only_readings_without_a_flag_are_kept_and_each_token_is_counted():
    flags = ["", "W", "W,Inv", "Rh.max, W", " ", "OutliersMin", "NaN", "W"]
    values = [1, 2, 3, 4, 5, 6, 7, ""]
    device = read(stay("ANT_URB_WITT", HOUR + "00", values, flags))
    assert [value for value in entries(device).values() if value is not None] == [1, 5, 7]
    assert device.report["flags"] == {"W": 3, "Inv": 1, "Rh.max": 1, "OutliersMin": 1}
    assert device.report["dropped"]["flagged"] == 4
    assert device.report["dropped"]["missing_value"] == 1


@pytest.mark.parametrize("missing", ["", "NaN", "NA", "nan", "inf", "-inf"])
def test_what_is_no_number_is_a_missing_value(missing):
    device = read(stay("ANT_URB_WITT", HOUR + "00", [1, missing, 3]))
    assert list(entries(device).values()) == [1, None, 3]
    assert device.report["dropped"]["missing_value"] == 1


def test_without_a_flag_column_all_readings_are_kept_and_the_report_says_so():
    rows = stay("ANT_URB_WITT", HOUR + "00", [1, 2], ["W", ""])
    device = read(device_csv(rows, without=["OPCN3PM25_flag"]))
    assert list(entries(device).values()) == [1, 2]
    assert device.report["missing_columns"] == ["OPCN3PM25_flag"]


@pytest.mark.parametrize(("quantity", "expected"), [("OPCN3PM10", [None, 20]), ("5325CAT", [7, 8])])
def test_other_quantities_come_with_their_own_flags(quantity, expected):
    rows = stay("ANT_URB_WITT", HOUR + "00", [1, 2], ["Inv", "Inv"])
    rows[0] |= {"OPCN3PM10": 10, "OPCN3PM10_flag": "W", "5325CAT": 7}
    rows[1] |= {"OPCN3PM10": 20, "5325CAT": 8}
    assert list(entries(read(rows, quantity)).values()) == expected


@pytest.mark.parametrize(
    "noisy", ["ANT_REF_R801", "ANT_REF_R801  ", " ANT-REF-R801", "ANT/REF/R801 ", "ant_ref_r801"]
)
def test_noise_in_the_location_does_not_hide_the_site(noisy):
    assert canonical_site(noisy) == "ANT_REF_R801"
    assert [*entries(read(stay(noisy, HOUR + "00", [1])))] == [("10:00", "ANT_REF_R801")]


@pytest.mark.parametrize("name", ["ANT_TRA_KIPD", "ANT_URB_KIPD", "ant-tra-kipd "])
def test_kipdorp_has_the_name_of_the_site_table(name):
    assert canonical_site(name) == "ANT_URB_KIPD"


def test_rows_at_no_known_site_are_dropped_and_the_names_are_counted():
    rows = [
        row
        for place in ("", " ", "-", "/", "Ispra", "Ispra ", "ANT_URB_WITT")
        for row in stay(place, HOUR + "00", [1])
    ]
    device = read(rows)
    assert device.sites == ["ANT_URB_WITT"]
    assert device.report["dropped"]["unknown_location"] == 6
    assert device.report["unknown_locations"] == {"(blank)": 2, "-": 1, "/": 1, "Ispra": 2}


def test_a_device_that_never_stood_at_a_known_site_has_no_entries():
    device = read(stay("Ispra", HOUR + "00", [1, 2]))
    assert entries(device) == {}
    assert device.report["dropped"]["unknown_location"] == 2


def test_unsorted_rows_are_sorted_and_those_of_one_minute_averaged():
    rows = stay("ANT_URB_WITT", HOUR + "00", [1, 2, 3, 4, 5], ["", "", "", "", "W"])
    rows[0]["date"] = "2020-07-01T10:05:00Z"
    rows[1]["date"] = "2020-07-01T10:02:59Z"
    rows[3]["date"] = "2020-07-01T10:02:00.500Z"
    rows[4]["date"] = "2020-07-01T10:02:01Z"
    device = read(rows)
    assert [*entries(device).items()] == [
        (("10:02", "ANT_URB_WITT"), 3),
        (("10:05", "ANT_URB_WITT"), 1),
    ]
    assert device.report["dropped"] == {
        "missing_value": 0,
        "flagged": 1,
        "unknown_location": 0,
        "duplicate_minute": 2,
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_messy_file_agrees_with_a_reading_row_by_row(seed):
    rng = np.random.default_rng(seed)
    places = ["ANT_REF_R801 ", "ANT_REF_R801", "ANT_REF_R802", "ANT_URB_WITT ", "", "-", "Ispra"]
    rows, expected, kept = [], {}, 0
    for minute in rng.integers(0, 60, 300):
        value, flag = rng.choice(["", "NaN", "2.25", "4.5"]), rng.choice(["", "", "W", "W,Inv"])
        place = rng.choice(places)
        rows += stay(place, f"{HOUR}{minute:02}", [value], [flag])
        if place.strip() in SITES:
            readings = expected.setdefault((f"10:{minute:02}", place.strip()), [])
            if value not in ("", "NaN") and not flag:
                readings.append(float(value))
    kept = sum(bool(readings) for readings in expected.values())
    device = read(rows)
    assert entries(device) == {
        key: pytest.approx(np.mean(readings)) if readings else None
        for key, readings in expected.items()
    }
    assert len(rows) == kept + sum(device.report["dropped"].values())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty or not a device file"),
        ("a,b\n1,2\n", r"lacks \['date', 'Location.ID'\]"),
        (device_csv([]), "a header but no rows"),
        (
            device_csv(stay("ANT_URB_WITT", HOUR + "00", [1, 2]))[:-10],
            "truncated or damaged.*Expected 13",
        ),
        (device_csv(stay("ANT_URB_WITT", HOUR + "00", [1, "low"])), "damaged.*'low'"),
        (
            device_csv(stay("ANT_URB_WITT", "2020-07-01 10h00", [1])),
            "damaged.*invalid value '2020-07-01 10",
        ),
        (
            device_csv([*stay("ANT_URB_WITT", HOUR + "00", [1]), {"Location.ID": "ANT_URB_WITT"}]),
            "1 rows .* no date",
        ),
    ],
)
def test_a_damaged_file_is_named(text, reason):
    with pytest.raises(DataError, match=rf"Antwerp_402B00\.csv.*{reason}"):
        read(text)
