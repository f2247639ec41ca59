"""The progress bar of long reading."""

from rich.console import Console
from rich.progress import Progress, ProgressColumn


def progress_bar(shown: bool, *columns: ProgressColumn) -> Progress:
    """Return a bar on stderr, which disappears at the end; not shown if stderr is a file."""
    console = Console(stderr=True)
    visible = shown and (console.is_terminal or console.is_jupyter)
    return Progress(*columns, console=console, transient=True, disable=not visible)
