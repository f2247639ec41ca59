"""Tables of text, the header first: for a terminal and as Markdown."""

from collections.abc import Sequence

from rich.table import Table

Rows = list[list[str]]
"""A table as text, the header first."""

LEFT, RIGHT = "---", "---:"
"""The alignments of a column in Markdown."""


def text_table(rows: Rows, title: str | None = None) -> Table:
    """Lay out a table for a terminal; columns of numbers are aligned to the right."""
    header, *body = rows
    table = Table(title=title, title_justify="left", title_style="bold")
    for column, heading in enumerate(header):
        numeric = all(
            row[column].strip("+-").replace(".", "").isdigit() or row[column] == "-" for row in body
        )
        table.add_column(heading, justify="right" if numeric else "left")
    for row in body:
        table.add_row(*row)
    return table


def markdown(rows: Rows, alignment: str | Sequence[str] = LEFT) -> str:
    """Format a table as Markdown.

    Parameters
    ----------
    rows : list of list of str
    alignment : str or sequence of str
        `LEFT` or `RIGHT`: of all columns but the first, or of each column. Default `LEFT`.
    """
    header, *body = rows
    if isinstance(alignment, str):
        alignment = [LEFT, *[alignment] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, alignment, *body))
