"""The documentation site: it is built without warnings, is complete, and needs no network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import data_prep
import tritonbn
from tritonbn import experiment, models

for needed in ("sphinx", "furo", "numpydoc", "myst_parser", "jupyter_server_mathjax"):
    pytest.importorskip(needed, reason="the site is built where .[docs] is installed")

ROOT = Path(__file__).parents[2]
PUBLIC = [
    f"{module.__name__}.{name}"
    for module in (tritonbn, models, data_prep, experiment)
    for name in module.__all__
]
LOADED = re.compile(r"<(?:script|img|iframe)[^>]+src=\"([^\"]+)\"|<link[^>]+href=\"([^\"]+)\"")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-c", str(ROOT / "docs")]
    places = ["-d", str(folder / "doctrees"), str(ROOT), str(folder / "html")]
    result = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder / "html"


def test_every_public_name_has_an_entry_in_the_reference(site):
    pages = (site / "docs" / "reference").glob("*.html")
    entries = {
        name for page in pages for name in re.findall(r'<dt[^>]* id="([^"]+)"', page.read_text())
    }
    assert {*PUBLIC} <= entries


def test_pages_load_only_files_of_the_site(site):
    pages = [*site.rglob("*.html")]
    assert len(pages) > 15
    for page in pages:
        for loaded in re.findall(LOADED, page.read_text()):
            address = "".join(loaded).split("?")[0].split("#")[0]
            if address and not address.startswith("data:"):
                assert (page.parent / address).exists(), f"{page.name} loads {address}"


def test_links_between_pages_lead_somewhere(site):
    for page in site.rglob("*.html"):
        for link in re.findall(r'<a [^>]*href="([^"]+)"', page.read_text()):
            if "://" in link or link.startswith("mailto:"):
                continue
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name} links to {link}"
            if anchor and target.suffix == ".html":
                assert f'id="{anchor}"' in target.read_text(), f"{page.name} links to {link}"


def test_equations_are_set_by_the_mathjax_of_the_site(site):
    page = (site / "docs" / "layer.html").read_text()
    assert r"\sigma^2_{ck}" in page
    assert "_static/mathjax/MathJax.js" in page
    assert (site / "_static" / "mathjax" / "MathJax.js").exists()
    (font,) = re.findall(r'"webFont": "([^"]+)"', page)
    assert (site / "_static" / "mathjax" / "fonts" / "HTML-CSS" / font).exists()
