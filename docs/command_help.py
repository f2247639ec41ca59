"""The directive ``command-help``, which shows what a command prints with ``--help``."""

import os
from contextlib import redirect_stdout, suppress
from io import StringIO
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from tritonbn.cli import main

COLUMNS = "88"


class CommandHelp(SphinxDirective):
    """Show the help of a command, such as ``train`` or ``data prepare``."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the help as a block of text."""
        text = help_of(self.arguments[0])
        if not text:
            raise self.error(f"there is no command {self.arguments[0]!r}")
        return [nodes.literal_block(text, text, language="text")]


def help_of(command: str) -> str:
    """Return what ``tritonbn COMMAND --help`` prints; nothing if there is no such command."""
    printed = StringIO()
    width = patch.dict(os.environ, COLUMNS=COLUMNS)
    with width, redirect_stdout(printed), suppress(SystemExit):
        main([*command.split(), "--help"])
    return printed.getvalue()


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
