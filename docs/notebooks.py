"""Execute the tutorials, and check that the notebooks agree with their sources.

The source of a tutorial is a Python script in `tutorials`, in jupytext's percent format. The
notebook beside it has the same cells and their outputs.

    python docs/notebooks.py execute [NAME ...]  # writes tutorials/NAME.ipynb
    python docs/notebooks.py check               # names the notebooks to execute again

The environment variable TRITONBN_CITY chooses the city of the tutorials: a data source or a path,
as in `data_prep.load_city`.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

import tritonbn
from data_prep.files import atomic_path

TUTORIALS = Path(__file__).parents[1] / "tutorials"
MAXIMAL_BYTES = 1_000_000
TIMEOUT_SECONDS = 600
WIDGET = "application/vnd.jupyter.widget-view+json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    execute = commands.add_parser("execute", help="write notebooks with their outputs")
    execute.add_argument("names", nargs="*", metavar="NAME", help="default: all tutorials")
    commands.add_parser("check", help="name the notebooks that must be executed again")
    options = parser.parse_args(arguments)
    if options.command == "execute":
        paths = [TUTORIALS / f"{name}.py" for name in options.names] or sources()
        if missing := [str(path) for path in paths if not path.exists()]:
            parser.error(f"{', '.join(missing)} does not exist")
        for path in paths:
            _execute(path)
        return 0
    complaints = [complaint for path in sources() for complaint in complaints_about(path)]
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


def sources() -> list[Path]:
    """Return the scripts of all tutorials."""
    return sorted(TUTORIALS.glob("[0-9]*.py"))


def read_source(path: Path) -> NotebookNode:
    """Read a script as a notebook without outputs, whose cells are numbered by their ids."""
    notebook: NotebookNode = jupytext.read(path, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return notebook


def complaints_about(path: Path) -> list[str]:
    """Return what is wrong with the notebook of a script, one sentence each."""
    output = path.with_suffix(".ipynb")
    if not output.exists():
        return [f"{output.name} does not exist; execute it"]
    notebook: NotebookNode = nbformat.read(output, as_version=4)  # type: ignore[no-untyped-call]
    complaints = []
    if [_content(cell) for cell in notebook.cells] != [
        _content(cell) for cell in read_source(path).cells
    ]:
        complaints.append(f"{output.name} has other cells than {path.name}; execute it again")
    version = notebook.metadata.get("tritonbn", {}).get("version")
    if version != tritonbn.__version__:
        complaints.append(
            f"{output.name} has outputs of tritonbn {version}, this is {tritonbn.__version__}; "
            "execute it again"
        )
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != [*range(1, len(code) + 1)]:
        complaints.append(f"{output.name} was not executed from top to bottom")
    if output.stat().st_size >= MAXIMAL_BYTES:
        complaints.append(f"{output.name} has {output.stat().st_size:,} bytes, of 1 MB at most")
    return complaints


def _content(cell: NotebookNode) -> tuple[str, str, dict[str, Any]]:
    return cell.cell_type, cell.source, dict(cell.metadata)


def _execute(path: Path) -> None:
    notebook = read_source(path)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(TUTORIALS)}},
    )
    start = time.monotonic()
    client.execute()
    seconds = time.monotonic() - start
    for cell in notebook.cells:
        if cell.cell_type == "code":
            _tidy_outputs(cell)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["tritonbn"] = {"version": tritonbn.__version__}
    nbformat.validate(notebook)
    output = path.with_suffix(".ipynb")
    with atomic_path(output) as temporary:
        nbformat.write(notebook, temporary)  # type: ignore[no-untyped-call]
    print(f"{output.name}: {seconds:.0f} s, {output.stat().st_size / 1e6:.2f} MB")


def _tidy_outputs(cell: NotebookNode) -> None:
    """Drop widgets, which are empty without a kernel, and describe the pictures in words."""
    cell.outputs = [output for output in cell.outputs if not _is_empty(output)]
    description = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    for output in cell.outputs:
        if description and "image/png" in output.get("data", {}):
            output.metadata["image/png"] = {"alt": description}


def _is_empty(output: NotebookNode) -> bool:
    data = output.get("data", {"text/plain": output.get("text")})
    return WIDGET in data or data.get("text/plain") == ""


if __name__ == "__main__":
    sys.exit(main())
