import argparse
import re
from inspect import Parameter, signature
from typing import Any

import pytest

from tritonbn.cli import _parser
from tritonbn.experiment import RunConfig, compare, train

REQUIRED = {"train": ["--backbone", "cnn"], "compare": []}
ONLY_THE_COMMAND = {"run", "resumes", "data", "grid", "out"}
ONLY_PYTHON = {"city", "directory", "progress", "settings"}
"""Of these, `directory` is `--out`: a command always has a results folder."""
DIFFERENT = {"jobs"}
"""A script that starts processes needs a guard (`if __name__ ...`), which a command has."""


def options_of(*command: str) -> argparse.Namespace:
    return _parser().parse_args(command)


@pytest.mark.parametrize("function", [train, compare])
def test_a_command_has_the_defaults_of_the_function(function: Any) -> None:
    name = function.__name__
    options = vars(options_of(name, *REQUIRED[name]))
    parameters = signature(function).parameters
    arguments = {key: parameter.default for key, parameter in parameters.items()}
    assert options.keys() - ONLY_THE_COMMAND - {"jobs", "device"} == (
        arguments.keys() - ONLY_PYTHON - {"jobs", "device"}
    )
    for key in (options.keys() & arguments.keys()) - DIFFERENT:
        if arguments[key] is not Parameter.empty:
            assert options[key] == arguments[key], key


def test_presets_have_the_defaults_of_train() -> None:
    of_preset = signature(RunConfig.preset).parameters
    of_train = signature(train).parameters
    for name in ("norm", "protocol", "design", "head", "scaling", "without", "seed"):
        assert of_preset[name].default == of_train[name].default


def test_reproduce_trains_the_networks_of_the_publication() -> None:
    options = options_of("reproduce")
    assert (options.protocols, options.head, options.scaling) == (["paper"], "dense", None)
    assert (options.seeds, options.jobs, options.station) == (1, None, None)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["train"], ["backbone", "design", "head", "protocol"]),
        (["tune"], ["grid", "channels", "batch"]),
    ],
)
def test_the_help_of_an_option_is_more_than_its_default(
    command: list[str], names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        options_of(*command, "--help")
    shown = " ".join(capsys.readouterr().out.split())
    for name in names:
        assert re.search(rf"--{name} \S+( \[\S+ \.\.\.\])? (?!default|-)\w", shown), name
