"""The `tritonbn` command."""

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

import tritonbn
from data_prep.city import DataError
from data_prep.cli import short_warnings
from data_prep.termination import STATUS, TerminatedError, sigterm_raises
from tritonbn.cli import data, kernels, maps, study
from tritonbn.cli.arguments import Parser
from tritonbn.experiment.networks.checkpoint import CheckpointError
from tritonbn.experiment.networks.config import ConfigError
from tritonbn.experiment.study.workers import WorkersLostError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit status: 0; 2 after an error, which is explained in one line; 130 after Ctrl-C; 143
        after SIGTERM.
    """
    options = _parser().parse_args(arguments)
    resuming = "; the same command resumes the work" if getattr(options, "resumes", False) else ""
    try:
        with sigterm_raises(), short_warnings("tritonbn: warning"):
            options.run(options, Console(markup=False, emoji=False))
    except TerminatedError:
        return _complain(f"terminated{resuming}", STATUS)
    except KeyboardInterrupt:
        return _complain(f"interrupted{resuming}", 130)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        place = f": {error.filename}" if error.filename else ""
        return _complain(f"error: {reason}{place}", 2)
    except (
        kernels.CannotRunError,
        ConfigError,
        DataError,
        CheckpointError,
        FloatingPointError,
        WorkersLostError,
    ) as error:
        return _complain(f"error: {error}", 2)
    return 0


def _complain(message: str, status: int) -> int:
    print(f"tritonbn: {' '.join(message.split())}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tritonbn",
        description="Local batch normalization, and the experiment on hidden PM2.5 stations.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {tritonbn.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (study, maps, data, kernels):
        group.add_commands(commands)
    return parser
