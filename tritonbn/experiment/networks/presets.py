"""The settings that `RunConfig.preset` knows by name."""

from collections.abc import Sequence
from typing import Any

from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.task.protocol import PROTOCOLS

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"steps": 500, "batch_size": 32, "test_times": 120, "validation_times": 8},
    "thorough": {"steps": 500, "batch_size": 32, "validation_times": 16},
    "paper": {
        "steps": 1200,
        "batch_size": 128,
        "validation_times": 16,
        "parts": "161:26:46",
    },
}
"""Arguments of `RunConfig`; see `RunConfig.preset`."""

RESIDUAL: dict[str, Any] = {
    "steps": 700,
    "batch_size": 96,
    "learning_rate": 2e-3,
    "validate_every": 100,
    "validation_times": 100,
    "timesteps": 3,
}
"""Arguments for residual networks, whatever the preset; they were chosen by validation scores."""

RESIDUAL_HELD_OUT = {"steps": 300, "batch_size": 32}
"""Arguments for residual networks where stations are held out: they need fewer steps, because
the tested stations take no part in training."""

CONVOLUTION_HEAD = {"patience": 10}
"""Arguments for published networks with the convolution head. Those with the dense head are not
stopped early, because they may not improve for hundreds of steps before they learn."""

SEQUENCE = {"timesteps": 12}
"""Arguments for the CNN-LSTM, and for published networks with a norm inside the recurrence."""


def settings_of(
    preset: str,
    backbone: str,
    norm: str,
    design: str,
    head: str,
    protocol: str,
    without: Sequence[str],
) -> dict[str, Any]:
    """Return the settings of a preset for one kind of network and one protocol."""
    settings = dict(PRESETS[preset])
    if design == "residual":
        settings |= RESIDUAL
        if PROTOCOLS[protocol].folds > 1:
            settings |= RESIDUAL_HELD_OUT
    elif head == "convolution":
        settings |= CONVOLUTION_HEAD
    if backbone == "cnn-lstm" or (NORMS[norm].recurrent and design == "published"):
        settings |= SEQUENCE
    if "window" in without:
        settings["timesteps"] = 1
    return settings
