"""`table.md` and `report.html`: the tables in words, and everything on one page."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from data_prep.files import atomic_path
from tritonbn.experiment.breakdown import breakdown_rows
from tritonbn.experiment.config import NETWORKS, lacks_of
from tritonbn.experiment.dataset import DEFAULT_PARTS, PARTS
from tritonbn.experiment.ensemble import ensemble_rows
from tritonbn.experiment.plots import label, unit
from tritonbn.experiment.results import Results
from tritonbn.experiment.table import difference_rows, markdown, score_rows, station_rows, verdicts

PROTOCOL_NOTES = {
    "paper": "As published: training hides nothing, and a model predicts the next time. With the "
    "convolution head it does not see the next station, and can only recall what a place is "
    "usually like; with the dense head it sees the whole grid, but never met a station that is 0.",
    "masked": "Training hides random stations, anew in each sample (a fifth of them; from 8 % to a "
    "half for wide networks), and a model estimates them at the same time, as in the test.",
    "unseen": "A fifth of the stations is absent: from input, target, scaling and early stopping. "
    "Each is estimated once, by the training that does not know it. Training hides others. "
    "Validation is of the absent stations, too, at other times.",
}
PUBLISHED_NOTE = (
    "Published: what the publication calls spRMSE, for Antwerp. Its code takes the RMSE of a "
    "single random sample of each batch and averages, which is a mean absolute error: compare it "
    "with spMAE."
)
ENSEMBLE_NOTE = "The mean of what the runs of all seeds estimate, beside the best rival:"
TRAINING_CAPTION = "spRMSE during training, at some validation times, of stations that it knows."
SYNTHETIC_NOTE = "The readings are synthetic: a generator made them, nobody measured them."


def facts(results: Results) -> dict[str, str]:
    """Say in words what the scores are made of."""
    city = results.city
    first, last = (np.datetime_as_string(city.times[k], "m").replace("T", " ") for k in (0, -1))
    settings = _words(results.facts["settings"])
    wide = "; ".join(f"{name}: {_words(of)}" for name, of in results.facts["wide"].items())
    parts = results.facts["settings"].get("parts", DEFAULT_PARTS)
    runs = results.runs()
    return {
        "Data": f"{label(city)}; --data {results.facts['data']}",
        "Readings": f"{len(city.stations)} stations in {city.grid[0]} x {city.grid[1]} cells, "
        f"{len(city.times):,} times from {first} to {last}, {1 - city.observed.mean():.1%} missing",
        "Preset": f"{results.facts['preset']} ({settings}); wide networks: {wide}",
        "Split": f"{parts} in the order of time, with {PARTS[parts]} left out between them; all "
        "scores but validation are of the last part",
        "spRMSE": f"the RMSE of each station over time while it is hidden, averaged over "
        f"{runs['stations'].max()} stations, in {unit(city)}; spMAE likewise; RMSE of a time: that "
        "over the stations, averaged over time; lower is better. "
        f"The mean reading is {runs['mean_reading'].mean():.2f}",
        "Skill": "1 - MSE / MSE of inverse distance weighting (IDW) on the same readings",
        "Validation": "spRMSE at as many times of the part before the test, of the stations that "
        "have readings enough there: what to choose a model and its settings by, so that the test "
        "can tell how good the choice is. A network also stops training by some of these readings "
        "(under unseen: of other stations)",
    }


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def sections_of(results: Results) -> list[dict[str, Any]]:
    """Collect what there is to say of each protocol."""
    everything, stations, estimates = results.runs(), results.stations(), results.estimates()
    sections = []
    for protocol, runs in everything.groupby("protocol", sort=False):
        seeds = runs["seed"][runs["model"].isin([*NETWORKS])]
        here = stations[stations["protocol"] == protocol]
        estimated = estimates[estimates["protocol"] == protocol]
        notes = [PROTOCOL_NOTES[str(protocol)]]
        if protocol == "paper":
            notes.append(PUBLISHED_NOTE)
        sections.append(
            {
                "protocol": protocol,
                "seeds": ", ".join(map(str, sorted(seeds.unique()))) or "none",
                "notes": notes,
                "scores": score_rows(runs),
                "differences": difference_rows(here),
                "ensembles": ensemble_rows(estimated, results.city),
                "verdicts": verdicts(runs, here),
                "stations": station_rows(here[here["model"].map(lacks_of) == ""]),
                "breakdown": breakdown_rows(
                    estimated[estimated["model"].map(lacks_of) == ""], results.city
                ),
            }
        )
    return sections


def markdown_report(results: Results, sections: Sequence[Mapping[str, Any]]) -> str:
    """Write the tables of all protocols, and what they say, as Markdown.

    Parameters
    ----------
    results : Results
        The folder to report.
    sections : sequence of mapping
        From `sections_of`.
    """
    blocks = [f"# spRMSE: {label(results.city)}"]
    if results.city.synthetic:
        blocks.append(f"**{SYNTHETIC_NOTE}**")
    blocks.append("\n".join(f"- {name}: {text}" for name, text in facts(results).items()))
    for section in sections:
        blocks.append(f"## Protocol {section['protocol']} (seeds: {section['seeds']})")
        blocks.append(markdown(section["scores"]))
        blocks.append(markdown(section["differences"]))
        if len(section["ensembles"]) > 1:
            blocks += [ENSEMBLE_NOTE, markdown(section["ensembles"])]
        blocks.append("\n".join(f"- {line}" for line in section["verdicts"]))
        blocks += section["notes"]
    return "\n\n".join(blocks) + "\n"


def html_report(
    results: Results, sections: Sequence[Mapping[str, Any]], images: Mapping[str, Path]
) -> str:
    """Write one page that needs no other file.

    Parameters
    ----------
    results : Results
        The folder to report.
    sections : sequence of mapping
        From `sections_of`.
    images : mapping of str to Path
        Caption and PNG of each figure.
    """
    template = files("tritonbn.experiment").joinpath("report.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        title=label(results.city),
        synthetic=SYNTHETIC_NOTE if results.city.synthetic else "",
        facts=facts(results),
        sections=sections,
        ensemble_note=ENSEMBLE_NOTE,
        images={text: b64encode(path.read_bytes()).decode() for text, path in images.items()},
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
    captions = {caption: results.directory / name for name, caption in images.items()}
    sections = sections_of(results)
    pages = {
        "table.md": markdown_report(results, sections),
        "report.html": html_report(results, sections, captions),
    }
    for name, text in pages.items():
        with atomic_path(results.directory / name) as path:
            path.write_text(text, encoding="utf-8")
