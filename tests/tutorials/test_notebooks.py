"""The tutorials: script and notebook agree, and each notebook has what a reader needs."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "tutorials").glob("[0-9]*.py"))

sys.path.insert(0, str(ROOT / "docs"))
nbformat = pytest.importorskip("nbformat", reason="the tutorials need .[docs]")
notebooks = pytest.importorskip("notebooks", reason="the tutorials need .[docs]")

LINK = re.compile(r"\]\(([^)\s]+)\)")
FIRST_CELL = ("인하대학교", "**You will learn**", "| prerequisites |", "| time |", "| hardware |")


@pytest.fixture(params=SCRIPTS, ids=lambda path: path.stem)
def script(request):
    return request.param


@pytest.fixture
def cells(script):
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4).cells


def code_of(cells):
    return [cell for cell in cells if cell.cell_type == "code"]


def is_folded(cell):
    hidden = cell.metadata.get("jupyter", {})
    return "hide-cell" in cell.metadata.get("tags", []) and hidden == {
        "source_hidden": True,
        "outputs_hidden": True,
    }


def pictures_of(cells):
    return [
        output
        for cell in code_of(cells)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def test_there_are_seven_tutorials():
    assert [path.stem[:2] for path in SCRIPTS] == [f"{number:02}" for number in range(1, 8)]


def test_script_and_notebook_agree(script):
    assert notebooks.complaints_about(script) == []


def test_the_first_cell_says_what_is_learned_and_needed(cells):
    assert all(text in cells[0].source for text in FIRST_CELL)


def test_the_last_cell_says_what_is_next(cells):
    assert cells[-1].source.startswith("## What's next\n")


def test_text_and_code_have_the_right_length(cells):
    text = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert 500 <= len(re.findall(r"\b\w[\w'-]*", text)) <= 1000
    lines = [line.strip() for cell in code_of(cells) for line in cell.source.splitlines()]
    assert len([line for line in lines if line and not line.startswith("#")]) <= 80


def test_there_are_figures_and_all_have_a_description(cells):
    pictures = pictures_of(cells)
    assert len(pictures) >= 3
    for picture in pictures:
        assert len(picture.metadata["image/png"]["alt"].split()) >= 8


def test_exercises_have_folded_solutions_that_were_executed(cells):
    exercises = [
        number
        for number, cell in enumerate(cells)
        if re.search("^## Exercise ", cell.source, re.MULTILINE)
    ]
    assert len(exercises) >= 2
    for number in exercises:
        assert is_folded(cells[number + 1])
        assert cells[number + 1].outputs


def test_the_lesson_asserts_what_it_teaches(cells):
    assert any("assert" in cell.source for cell in code_of(cells) if not is_folded(cell))


def test_outputs_have_no_warnings_errors_or_paths_of_a_machine(cells):
    for cell in code_of(cells):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")
            shown = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            assert not re.search(r"/(tmp|home|work|usr|root)/", shown)


def test_links_lead_to_files_of_the_repository(script, cells):
    for cell in cells:
        if cell.cell_type == "markdown":
            for link in LINK.findall(cell.source):
                path = script.parent / link.partition("#")[0]
                assert "://" in link or path.exists(), link


def test_mocks_replace_variables_that_their_cell_assigns(cells):
    for cell in code_of(cells):
        for name in cell.metadata.get("nbmake", {}).get("mock", {}):
            assert re.search(rf"^{name} = ", cell.source, re.MULTILINE)
