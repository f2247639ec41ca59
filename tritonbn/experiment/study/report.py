"""`table.md` and `report.html`: the tables of a results folder, and all of it on one page."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from data_prep.figures import CSS_PIXELS_PER_INCH
from data_prep.files import atomic_path
from tritonbn.experiment.baselines import BASELINES
from tritonbn.experiment.figures.style import PNG_DPI, label, unit
from tritonbn.experiment.networks.presets import PRESETS, RESIDUAL, RESIDUAL_HELD_OUT
from tritonbn.experiment.study.breakdown import breakdown_rows
from tritonbn.experiment.study.ensemble import ensemble_rows
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.tables import (
    difference_rows,
    has_published,
    is_ablation,
    score_rows,
    station_rows,
    suspicious_stations,
    verdicts,
)
from tritonbn.experiment.task.parts import PARTS
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.tables import markdown

PUBLISHED_NOTE = (
    "Published: the published spRMSE of Antwerp. Its code computes the RMSE of one random sample "
    "of each batch and averages them, which is a mean absolute error: compare it with spMAE."
)
ENSEMBLE_NOTE = "Ensembles (the mean of the estimates of all seeds) and the best baseline:"
SYNTHETIC_NOTE = "The readings are synthetic: they were generated, not measured."


@dataclass(frozen=True)
class Image:
    """A PNG as a page embeds it.

    Parameters
    ----------
    data : str
        The PNG, base64.
    width : int
        On the page, in CSS pixels.
    caption : str
    """

    data: str
    width: int
    caption: str

    @classmethod
    def read(cls, path: Path, caption: str) -> "Image":
        """Read a PNG that `save` wrote; its width on the page is that of the figure in inches."""
        png = path.read_bytes()
        pixels = int.from_bytes(png[16:20], "big")  # the width in the header of a PNG
        return cls(b64encode(png).decode(), round(CSS_PIXELS_PER_INCH * pixels / PNG_DPI), caption)


def facts(results: Results) -> dict[str, str]:
    """Explain what the scores are computed from."""
    city = results.city
    first, last = (np.datetime_as_string(city.times[k], "m").replace("T", " ") for k in (0, -1))
    parts = results.config("cnn", "none", "masked").parts
    divided = ("left out", "training", "validation", "test")[-len(parts.split(":")) :]
    settings = PRESETS[results.preset] | results.settings
    residual, held_out = (
        {name: results.settings.get(name, value) for name, value in usual.items()}
        for usual in (RESIDUAL, RESIDUAL_HELD_OUT)
    )
    runs = results.runs()
    return {
        "Data": f"{label(city)} ({results.facts['data']})",
        "Readings": f"{len(city.stations)} stations in {city.grid[0]} x {city.grid[1]} cells, "
        f"{len(city.times):,} times from {first} to {last}, {1 - city.observed.mean():.1%} missing",
        "Preset": f"{results.preset} ({_words(settings)}); residual networks: {_words(residual)}, "
        f"and {_words(held_out)} where stations are held out",
        "Split": f"{parts} in chronological order ({', '.join(divided)}), with "
        f"{PARTS[parts]} left out between two parts; all scores except validation are of the test",
        "spRMSE": f"the RMSE of each station over time while it is hidden, averaged over "
        f"{runs['stations'].max()} stations, in {unit(city)}. spMAE is the same for the mean "
        "absolute error, and RMSE of a time is the RMSE over the stations, averaged over time. "
        f"Lower is better. The mean reading is {runs['mean_reading'].mean():.2f}",
        "Skill": "1 - MSE / MSE of inverse distance weighting (IDW) on the same readings",
        "Validation": "the spRMSE on the validation part, at the same number of times. Choose a "
        "model and its settings by this score, so that the test shows how good the choice is. "
        "Early stopping uses some of these readings (under unseen: of other stations)",
    }


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def words_of_seeds(seeds: Sequence[int]) -> str:
    """Name sorted seeds, as the heading of a protocol does."""
    if not len(seeds):
        return "no network"
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if len(seeds) == seeds[-1] - seeds[0] + 1:
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"


def sections_of(results: Results) -> list[dict[str, Any]]:
    """Collect the tables and texts of each protocol."""
    everything, stations, estimates = results.runs(), results.stations(), results.estimates()
    sections = []
    for protocol, runs in everything.groupby("protocol", sort=False):
        seeds = runs["seed"][~runs["model"].isin([*BASELINES])]
        here = stations[stations["protocol"] == protocol]
        estimated = estimates[estimates["protocol"] == protocol]
        notes = [PROTOCOLS[str(protocol)].note]
        if has_published(results.city, str(protocol)):
            notes.append(PUBLISHED_NOTE)
        sections.append(
            {
                "protocol": protocol,
                "seeds": words_of_seeds(sorted(seeds.unique())),
                "notes": notes,
                "scores": score_rows(runs, results.city),
                "differences": difference_rows(here),
                "ensembles": ensemble_rows(estimated, results.city),
                "verdicts": verdicts(runs, here),
                "suspicious": suspicious_stations(here),
                "stations": station_rows(here[~here["model"].map(is_ablation)]),
                "breakdown": breakdown_rows(
                    estimated[~estimated["model"].map(is_ablation)], results.city
                ),
            }
        )
    return sections


def markdown_report(results: Results, sections: Sequence[Mapping[str, Any]]) -> str:
    """Format the tables of all protocols, with their texts, as Markdown.

    Parameters
    ----------
    results : Results
        The results folder.
    sections : sequence of mapping
        From `sections_of`.
    """
    blocks = [f"# spRMSE: {label(results.city)}"]
    if results.city.synthetic:
        blocks.append(f"**{SYNTHETIC_NOTE}**")
    blocks.append("\n".join(f"- {name}: {text}" for name, text in facts(results).items()))
    for section in sections:
        blocks.append(f"## Protocol {section['protocol']} ({section['seeds']})")
        blocks.append(markdown(section["scores"]))
        blocks.append(markdown(section["differences"]))
        if len(section["ensembles"]) > 1:
            blocks += [ENSEMBLE_NOTE, markdown(section["ensembles"])]
        lines = [*section["verdicts"], *section["suspicious"]]
        blocks.append("\n".join(f"- {line}" for line in lines))
        blocks += section["notes"]
    return "\n\n".join(blocks) + "\n"


def html_report(
    results: Results, sections: Sequence[Mapping[str, Any]], images: Mapping[str, str]
) -> str:
    """Format everything as one HTML page that needs no other file.

    Parameters
    ----------
    results : Results
        The results folder.
    sections : sequence of mapping
        From `sections_of`.
    images : mapping of str to str
        PNG in the folder, and the caption, of each figure.
    """
    template = files("tritonbn.experiment.study").joinpath("report.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        title=label(results.city),
        synthetic=SYNTHETIC_NOTE if results.city.synthetic else "",
        facts=facts(results),
        sections=sections,
        ensemble_note=ENSEMBLE_NOTE,
        images=[Image.read(results.directory / name, text) for name, text in images.items()],
        versions=results.facts["versions"],
    )


def write_report(results: Results, images: Mapping[str, str]) -> None:
    """Write `results.csv`, `stations.csv`, `table.md` and `report.html`.

    Parameters
    ----------
    results : Results
        The folder to report, and to write into.
    images : mapping of str to str
        PNG in that folder, and the caption, of each figure.
    """
    results.write_tables()
    sections = sections_of(results)
    pages = {
        "table.md": markdown_report(results, sections),
        "report.html": html_report(results, sections, images),
    }
    for name, text in pages.items():
        with atomic_path(results.directory / name) as path:
            path.write_text(text, encoding="utf-8")
