"""The documentation site: ``python -m sphinx -W -c docs . build/docs`` from the root folder.

The source directory is the root, so that the pages that GitHub shows are pages of the site without
copies. Nothing is loaded from the network, neither to build nor to read it.
"""

import os
import shutil
import sys
from pathlib import Path

import jupyter_server_mathjax
from sphinx.application import Sphinx

import tritonbn

sys.path.insert(0, str(Path(__file__).parent))

project = "tritonbn"
author = "The contributors of tritonbn"
release = version = tritonbn.__version__
html_title = f"tritonbn {release}"
html_theme = "furo"
html_copy_source = False
html_show_copyright = False

root_doc = "docs/index"
include_patterns = [
    "*.md",
    "benchmarks/README.md",
    "docs/**.md",
    "tritonbn/kernels/KERNELS.md",
    "tutorials/*.ipynb",
]
exclude_patterns = [".*", "build", "dist", "results", "**/.*"]
templates_path = ["templates"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_context = {"repository": os.environ.get("GITHUB_REPOSITORY")}  # OWNER/NAME, set by GitHub
html_additional_pages = {"index": "redirect.html"}  # the address of the site leads to the root page

extensions = [
    "command_help",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "off"  # the pages show the committed outputs
nb_code_prompt_show = "Show the solution"
nb_code_prompt_hide = "Hide the solution"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # which would be loaded from the network
nb_merge_streams = True
copybutton_exclude = ".linenos, .gp, .go"

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have the types, with shapes and units
numpydoc_show_class_members = False

mathjax_path = "mathjax/MathJax.js"
mathjax2_config = {
    "config": ["TeX-AMS-MML_HTMLorMML-full.js"],
    "HTML-CSS": {"availableFonts": [], "webFont": "STIX-Web", "scale": 90},
    "tex2jax": {"processClass": "math", "ignoreClass": "document"},
    "showMathMenu": False,
    "messageStyle": "none",
}
myst_update_mathjax = False


def copy_mathjax(app: Sphinx) -> None:
    """Put MathJax beside the other static files of the site."""
    source = Path(jupyter_server_mathjax.__file__).parent / "static"
    shutil.copytree(source, app.outdir / "_static" / "mathjax", dirs_exist_ok=True)


def setup(app: Sphinx) -> None:
    """Register what the site needs beside the extensions."""
    app.connect("builder-inited", copy_mathjax)
