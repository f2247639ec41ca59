import base64
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from data_prep.city import CityData
from tritonbn.experiment.figures.style import Figure, save
from tritonbn.experiment.study.report import (
    html_report,
    markdown_report,
    sections_of,
    words_of_seeds,
)
from tritonbn.experiment.study.results import Results

MakeCity = Callable[..., CityData]
NAMES = ["A<b>&", "B", "C"]


class Finished(Results):
    """Two runs of one arm, and a baseline, under each protocol, as if they had been made."""

    def runs(self) -> pd.DataFrame:
        scores = {"spmae": 2.22, "time_rmse": 4.44, "bias": -1.5, "r2": 0.9, "skill": 0.125}
        return pd.DataFrame(
            {
                "protocol": protocol,
                "model": model,
                "norm": norm,
                "seed": seed,
                "sprmse": score + seed,
                **scores,
                "mean_reading": 30.7,
                "stations": 3,
                "validation_sprmse": 8.88,
            }
            for protocol, cnn in (("paper", 11.1), ("masked", 5.5))
            for model, norm, seed, score in (
                ("cnn-dense", "local", 0, cnn),
                ("cnn-dense", "local", 1, cnn),
                ("idw", "-", 0, 7.77),
            )
        )

    def stations(self) -> pd.DataFrame:
        scores = {"cell": 4, "readings": 40, "mean_reading": 30.7, "rmse": 9.87}
        keys = self.runs()[["protocol", "model", "norm", "seed"]].to_dict("records")
        return pd.DataFrame({**key, "station": name, **scores} for key in keys for name in NAMES)

    def estimates(self) -> pd.DataFrame:
        times = pd.date_range("2023-01-02T07:00", periods=24, freq="D")
        keys = self.runs()[["protocol", "model", "norm", "seed"]].to_dict("records")
        return pd.DataFrame(
            {**key, "station": name, "time": time, "reading": float(k), "estimate": k + 2.5}
            for key in keys
            for name in NAMES
            for k, time in enumerate(times)
        )


@pytest.fixture
def results(make_city: MakeCity, tmp_path: Path) -> Results:
    city = make_city(times=300, stations=3)
    city = replace(city, name="Antwerp", stations=city.stations.assign(station=NAMES))
    facts = {
        "data": "/somewhere/else",
        "preset": "quick",
        "settings": {"steps": 12, "batch_size": 34},
        "versions": {"python": "3.11.0"},
    }
    return Finished(tmp_path, facts, city)


def both_pages(results: Results) -> tuple[str, str]:
    sections = sections_of(results)
    return markdown_report(results, sections), html_report(results, sections, {})


def test_every_protocol_has_its_table_in_both_pages(results: Results) -> None:
    text, page = both_pages(results)
    for protocol in ("paper", "masked"):
        assert f"Protocol {protocol} (seeds 0 to 1)" in text
        assert f"Protocol {protocol} (seeds 0 to 1)" in page
    for row in (
        "CNN_(dense) local 11.60 0.71 4.44 14.15 2.22 -1.50 0.90 0.12 8.88 2",
        "CNN_(dense) local 6.00 0.71 4.44 2.22 -1.50 0.90 0.12 8.88 2",
        "IDW - 7.77 - 4.44 - 2.22 -1.50 0.90 0.12 8.88 -",
        "CNN_(dense) local IDW +0.00 -",
        "CNN_(dense) local 2 2.50 1.00 +0.00 -",
    ):
        cells = [cell.replace("_", " ") for cell in row.split()]
        assert f"| {' | '.join(cells)} |" in text
        assert "".join(f"<td>{cell}</td>" for cell in cells) in page


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([], "no network"),
        ([0], "seed 0"),
        ([0, 1, 2, 3, 4], "seeds 0 to 4"),
        ([0, 3], "seeds 0, 3"),
    ],
)
def test_seeds_are_listed(seeds: list[int], words: str) -> None:
    assert words_of_seeds(seeds) == words


def test_published_scores_are_those_of_antwerp(results: Results) -> None:
    other = replace(results, city=replace(results.city, name="Ghent"))
    for page, of_other in zip(both_pages(results), both_pages(other), strict=True):
        assert "Published: " in page
        assert "14.15" in page
        assert "Published: " not in of_other
        assert "14.15" not in of_other


def test_both_pages_say_what_the_scores_are_made_of(results: Results) -> None:
    for page in both_pages(results):
        for fact in (
            "Antwerp (/somewhere/else)",
            "3 stations in 5 x 6 cells",
            "300 times from 2023-01-01 00:00 to 2023-01-13 11:00",
            f"{1 - results.city.observed.mean():.1%} missing",
            "quick (steps 12, batch_size 34, test_times 120, validation_times 8); "
            "residual networks: steps 12, batch_size 34, learning_rate 0.002",
            "and steps 12, batch_size 34 where stations are held out",
            "6:2:2 in chronological order (training, validation, test), with 24 hours left out",
            "The mean reading is 30.70",
        ):
            assert fact in page


def test_both_pages_say_how_the_published_parts_are_cut(results: Results) -> None:
    settings = {**results.facts["settings"], "parts": "161:26:46"}
    published = replace(results, facts={**results.facts, "settings": settings})
    for page in both_pages(published):
        assert (
            "161:26:46 in chronological order (training, validation, test), with 0 hours left"
            in page
        )


def test_only_synthetic_readings_are_called_so(results: Results) -> None:
    made_up = replace(results, city=replace(results.city, synthetic=True))
    for page, of_made_up in zip(both_pages(results), both_pages(made_up), strict=True):
        assert "synthetic" not in page
        assert "Antwerp (synthetic)" in of_made_up
        assert "The readings are synthetic" in of_made_up


def test_stations_are_listed_with_their_names_escaped(results: Results) -> None:
    page = both_pages(results)[1]
    assert page.count("<td>A&lt;b&gt;&amp;</td><td>4</td><td>40</td>") == 2
    assert "A<b>" not in page
    assert page.count("<td>9.87</td><td>9.87</td>") == 6


def test_errors_are_told_by_hour_and_class(results: Results) -> None:
    page = both_pages(results)[1]
    assert page.count("<td>hour 7</td><td>72</td><td>2.50</td><td>2.50</td>") == 2
    assert page.count("<td>class unknown</td><td>72</td><td>2.50</td><td>2.50</td>") == 2


def test_images_are_embedded_with_their_captions(results: Results, tmp_path: Path) -> None:
    images = {f"{k}.png": f"Figure {k}" for k in range(2)}
    for k, name in enumerate(images):
        save(Figure((3 + k, 2)), tmp_path / name)
    page = html_report(results, sections_of(results), images)
    found = re.findall(r'src="data:image/png;base64,([^"]+)" width="(\d+)" alt="([^"]+)"', page)
    assert {caption: base64.b64decode(code) for code, _, caption in found} == {
        caption: (tmp_path / name).read_bytes() for name, caption in images.items()
    }
    assert [width for _, width, _ in found] == ["288", "384"], "96 CSS pixels an inch"
    assert "<figcaption>Figure 1</figcaption>" in page
