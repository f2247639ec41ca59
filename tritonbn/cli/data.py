"""The commands of the data preparation, which ``python -m data_prep`` offers as well."""

from data_prep.cli import add_commands as add_data_commands
from tritonbn.cli.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Add ``tritonbn data`` with its commands to a parser."""
    help = "Download, prepare and describe the readings of a city."
    parser = commands.add_parser("data", help=help, description=help)
    data_commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_data_commands(data_commands)
    for name in ("download", "openaq"):
        data_commands.choices[name].set_defaults(resumes=True)
