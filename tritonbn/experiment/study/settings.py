"""The settings that `train` and `compare` take besides their own arguments."""

from collections.abc import Iterable, Mapping
from typing import Any

from tritonbn.experiment.networks.config import ConfigError

OF_COMPARISON = ("backbones", "designs", "heads", "norms", "protocols", "scalings", "seeds")
"""The arguments of `compare` that decide a setting of each run, which is called as one of them."""


def require_free(settings: Mapping[str, Any], arguments: Iterable[str] = ()) -> None:
    """Raise `ConfigError` if a setting is decided otherwise, so that it would have no effect.

    Parameters
    ----------
    settings : mapping
        Arguments of `RunConfig`.
    arguments : iterable of str
        In the plural, what decides the settings. Default: nothing but the folds.
    """
    for name, value in settings.items():
        if name == "fold":
            raise ConfigError(f"fold={value!r} is no setting: a run has all folds of its protocol")
        if f"{name}s" in arguments:
            raise ConfigError(
                f"{name}={value!r} is no setting of a comparison; give {name}s in its place"
            )
