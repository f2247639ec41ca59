"""The readings of the real archive, of which an excerpt is at hand."""

import os
from pathlib import Path

import pytest

from data_prep.senseurcity.readings import QUANTITIES, read_archive

EXCERPT = Path(os.environ.get("TRITONBN_REAL_DATA", "")) / "senseurcity_excerpt"
needs_excerpt = pytest.mark.skipif(
    not (EXCERPT / "dataset").is_dir(), reason="TRITONBN_REAL_DATA names no folder with the excerpt"
)


@needs_excerpt
@pytest.mark.parametrize(
    ("city", "stations", "rows", "minutes"),
    [
        ("antwerp", ["ANT_REF_R801"], 38, 18),
        ("oslo", ["OSL_REF_KVN"], 20, 20),
        ("zagreb", ["ZAG_REF_IMI"], 60, 20),
    ],
)
def test_the_excerpt_loads_and_says_that_it_holds_warm_ups_only(city, stations, rows, minutes):
    loaded = read_archive(EXCERPT, city=city, progress=False)
    assert loaded.stations["station"].tolist() == stations
    assert len(loaded.times) == minutes
    assert not loaded.observed.any()
    assert loaded.report["rows"] == rows
    assert loaded.report["flags"] == {"W": loaded.report["dropped"]["flagged"]}
    assert sum(loaded.report["dropped"].values()) == rows


@needs_excerpt
def test_the_excerpt_has_flags_for_every_quantity():
    for file in (EXCERPT / "dataset").iterdir():
        with file.open(encoding="utf-8") as lines:
            header = set(next(lines).strip().split(","))
        assert header >= {name for q in QUANTITIES for name in (q, f"{q}_flag")}
