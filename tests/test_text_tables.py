"""Tables of text, for a terminal and as Markdown."""

import pytest

from tritonbn.tables import LEFT, RIGHT, markdown, text_table

ROWS = [["model", "score"], ["IDW", "1.50"], ["mean", "-"]]


@pytest.mark.parametrize(
    ("alignment", "rule"),
    [
        (LEFT, "| --- | --- |"),
        (RIGHT, "| --- | ---: |"),
        ([RIGHT, LEFT], "| ---: | --- |"),
    ],
)
def test_markdown_has_a_rule_below_its_header(alignment, rule):
    assert markdown(ROWS, alignment).splitlines() == [
        "| model | score |",
        rule,
        "| IDW | 1.50 |",
        "| mean | - |",
    ]


def test_in_a_terminal_numbers_are_aligned_to_the_right():
    table = text_table(ROWS, "scores")
    assert table.title == "scores"
    assert [column.justify for column in table.columns] == ["left", "right"]
    assert [[*column.cells] for column in table.columns] == [["IDW", "mean"], ["1.50", "-"]]
