"""The documentation site: it is built without warnings, is complete, and needs no network."""

import os
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


def build(html, doctrees, **variables):
    """Build the site with these environment variables."""
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-c", ROOT / "docs", "-d", doctrees]
    elsewhere = {name: value for name, value in os.environ.items() if name != "GITHUB_REPOSITORY"}
    result = subprocess.run(
        [*command, ROOT, html],
        env=elsewhere | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    build(folder / "html", folder / "doctrees")
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


def test_on_github_a_tutorial_links_to_its_release_on_binder_and_colab(site, tmp_path):
    notebook = "tutorials/03_training.ipynb"
    build(tmp_path, site.parent / "doctrees", GITHUB_REPOSITORY="owner/name")
    page = (tmp_path / notebook).with_suffix(".html").read_text()
    release = f"v{tritonbn.__version__}"
    for address in (
        f"https://mybinder.org/v2/gh/owner/name/{release}?urlpath=lab/tree/{notebook}",
        f"https://colab.research.google.com/github/owner/name/blob/{release}/{notebook}",
    ):
        assert f'href="{address}"' in page
    assert f"git clone -q --branch {release} https://github.com/owner/name " in page


def test_elsewhere_a_tutorial_has_no_links_to_binder_and_colab(site):
    pages = [*(site / "tutorials").glob("*.html")]
    assert len(pages) == 7
    for page in pages:
        assert not re.search(r"mybinder\.org|colab\.research", page.read_text())
