"""`RunConfig`: everything that decides the numbers of one training run."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from data_prep.city import CityData
from tritonbn.experiment.networks.combinations import refusal
from tritonbn.experiment.networks.network import BACKBONES, DESIGNS, OPTIONS, Network
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.presets import PRESETS, settings_of
from tritonbn.experiment.networks.scaling import SCALINGS, USUAL
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.parts import DEFAULT_PARTS, PARTS
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.models.head import HeadName

MAY_BE_NONE = ("patience", "test_times", "validation_times")
"""The numbers that a configuration need not have."""


class ConfigError(ValueError):
    """A choice or a setting is not allowed; the message says what is.

    Examples
    --------
    >>> from tritonbn.experiment import RunConfig
    >>> RunConfig.preset("quick", "cnn", steps=0)
    Traceback (most recent call last):
    tritonbn.experiment.networks.config.ConfigError: steps must be at least 1, got 0
    """


@dataclass(frozen=True)
class RunConfig:
    """One training run. Runs of equal configuration on one city and machine give equal numbers.

    Their processes need the same number of threads, which decides the last digits. It is the number
    of cores, divided by the number of `jobs` of a comparison. `RunConfig.preset` is the usual way
    to make a configuration.

    Parameters
    ----------
    backbone : {"convlstm", "cnn", "cnn-lstm"}
        The network before its head.
    norm : str
        The normalization. ``"none"``, ``"global"`` (`torch.nn.BatchNorm2d`) and
        ``"local"`` (`tritonbn.LocalBN`, one segment per cell) are the published ones.
        ``"local-nearest"`` has one segment per nearest station; ``"local-stations"`` one per
        station, and the other cells together; ``"local-after"`` normalizes after the activation;
        ``"local-batch"`` uses the statistics of the batch in the test as well, so that its
        estimates depend on the visible readings of other times of the test. ``"recurrent"``, for
        the ConvLSTM, is ``"local"`` and local recurrent batch normalization with statistics for
        each of the `timesteps`; residual networks then do not use symmetries. ``"pooled"`` has a
        segment per cell, which is drawn towards that of its nearest station and this towards the
        whole grid, by `pooling`; ``"pooled-clusters"`` has clusters of correlated stations between
        these two, and needs scikit-learn. Controls without normalization: ``"offset"`` (a learned
        gain and offset per cell), ``"embedding"`` (learned channels per cell beside the input),
        ``"scaled"`` (readings standardized per station).
    protocol : {"paper", "masked", "unseen"}
        Which stations are hidden when, and what is predicted.
    design : {"published", "residual"}
        What the backbone reads and predicts. The input of residual networks has several time steps,
        a mask of the available readings and features of the surroundings of each cell. They predict
        the residual of IDW (of readings limited to 2.5 standard deviations from the mean) and learn
        from hidden stations. If no station is held out, they also use features of the whole grid;
        otherwise their convolutions see the grid in all its symmetries. Default ``"published"``.
    head : {"dense", "convolution"}
        What follows the normalization. Default ``"dense"``; residual networks have
        ``"convolution"``.
    without : sequence of str
        What a residual network is trained without, in any order: ``"context"`` (features of the
        whole grid), ``"window"`` (preceding time steps), ``"idw"``, ``"correction"`` (adding its
        output to IDW), ``"surroundings"`` (features of the neighbourhood), ``"observed"`` (the mask
        of readings), ``"hour"`` (of the day), ``"scaling"`` (of each sample by itself), ``"limit"``
        (of readings), ``"several"`` (hidden stations in a sample), ``"hiding"`` (a loss on hidden
        stations only) or ``"symmetry"`` (of the grid). Default: nothing.
    seed : int
        Decides the initial weights and the batches. Default 0.
    fold : int
        Which fold of the stations is held out; 0 except for ``"unseen"``. Default 0.
    pooling : float
        For the norms ``"pooled"`` and ``"pooled-clusters"``: the number of values that count as
        much as the level above, as in `tritonbn.LocalBN`. Default 100.
    hidden : int
        Width of the dense head. Default 1000.
    dropout : float
        Dropout probability in the dense head. Default 0.5.
    scaling : {"maximum", "percentile", "all"}
        Which reading is scaled to 1: the maximum or the 99th percentile of the training part or, as
        published, the maximum of all readings, including the test. Residual networks standardize
        each sample by itself. Default ``"maximum"``.
    parts : str
        How the times are divided into training, validation and test:
        ``"6:2:2"``, the same with the last half (``"3:3:2:2"``) or the last quarter
        (``"9:3:4:4"``) of the training times alone, or the published ``"161:26:46"``. Default
        ``"6:2:2"``.
    steps : int
        Maximum number of optimizer steps. Default 1200.
    batch_size : int
        Samples per step, at least 2, because batch statistics need two values. Default 128.
    learning_rate : float
        Of Adam. Default 1e-3.
    validate_every : int
        Steps between two validations. Default 20.
    patience : int, optional
        Validations without improvement after which training stops. Default: no early stopping.
    timesteps : int
        Consecutive times that the network sees. Default 1; the CNN-LSTM and the norm
        ``"recurrent"`` need at least 2.
    test_times, validation_times : int, optional
        How many times, evenly spaced over the part, are scored after training and at each
        validation. Default: all.

    Raises
    ------
    ConfigError
        If a value is not allowed; the message names it and what is allowed.

    Examples
    --------
    >>> from tritonbn.experiment import RunConfig
    >>> config = RunConfig.preset("quick", "cnn", "local")
    >>> config.name
    'cnn-dense-local-paper-0'
    >>> config.steps, config.batch_size
    (500, 32)
    """

    backbone: str
    norm: str
    protocol: str
    design: str = "published"
    head: HeadName = "dense"
    without: tuple[str, ...] = ()
    seed: int = 0
    fold: int = 0
    pooling: float = 100.0
    hidden: int = 1000
    dropout: float = 0.5
    scaling: str = "maximum"
    parts: str = DEFAULT_PARTS
    steps: int = 1200
    batch_size: int = 128
    learning_rate: float = 1e-3
    validate_every: int = 20
    patience: int | None = None
    timesteps: int = 1
    test_times: int | None = None
    validation_times: int | None = None

    @classmethod
    def preset(
        cls,
        preset: str,
        backbone: str,
        norm: str = "local",
        protocol: str | None = None,
        *,
        design: str = "published",
        head: HeadName | None = None,
        scaling: str | None = None,
        without: Sequence[str] = (),
        seed: int = 0,
        fold: int = 0,
        **settings: Any,
    ) -> "RunConfig":
        """Return the configuration of a run with the settings of a preset.

        Parameters
        ----------
        preset : {"quick", "thorough", "paper"}
            ``"quick"`` takes minutes on two cores; ``"thorough"`` takes the same training steps,
            scores every time of the test, and validates at 16 times instead of 8; ``"paper"`` has
            the published sizes, parts and scaling.
        backbone, norm, design, without, seed, fold
            Those of `RunConfig`.
        protocol : str, optional
            Default: ``"paper"`` for published networks, ``"masked"`` for residual ones.
        head : {"dense", "convolution"}, optional
            Default: ``"dense"`` for published networks, ``"convolution"`` for residual ones.
        scaling : str, optional
            Default: the usual one for the parts: ``"all"`` for the published ones, else
            ``"maximum"``.
        **settings
            Other arguments of `RunConfig`, in place of those of the preset.

        Raises
        ------
        ConfigError
            If a value is not allowed; the message names it and what is allowed.
        TypeError
            If a setting is no argument of `RunConfig`.
        """
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in settings if name not in known]:
            raise TypeError(f"settings must be among {', '.join(known)}; got {', '.join(unknown)}")
        _require("preset", preset, PRESETS)
        _require("backbone", backbone, BACKBONES)
        _require("design", design, DESIGNS)
        head = head or DESIGNS[design].heads[0]
        protocol = protocol or DESIGNS[design].protocol
        _require("protocol", protocol, PROTOCOLS)
        _require("norm", norm, NORMS)
        chosen = settings_of(preset, backbone, norm, design, head, protocol, without) | settings
        parts = chosen.get("parts", DEFAULT_PARTS)
        _require("parts", parts, PARTS)
        choices: dict[str, Any] = {"design": design, "head": head, "without": without}
        choices |= {"scaling": scaling or USUAL[parts], "seed": seed, "fold": fold}
        return cls(backbone, norm, protocol, **choices, **chosen)

    def __post_init__(self) -> None:
        require_sequence("without", self.without)
        for name, allowed in (
            ("backbone", BACKBONES),
            ("norm", NORMS),
            ("protocol", PROTOCOLS),
            ("design", DESIGNS),
            ("scaling", SCALINGS),
            ("parts", PARTS),
        ):
            _require(name, getattr(self, name), allowed)
        for option in self.without:
            _require("without", option, OPTIONS)
        object.__setattr__(self, "without", tuple(name for name in OPTIONS if name in self.without))
        for name, least in (
            ("seed", 0),
            ("fold", 0),
            ("hidden", 1),
            ("steps", 1),
            ("batch_size", 2),
            ("validate_every", 1),
            ("patience", 1),
            ("timesteps", 1),
            ("test_times", 1),
            ("validation_times", 1),
        ):
            value = getattr(self, name)
            if value is not None or name not in MAY_BE_NONE:
                object.__setattr__(self, name, integer(name, value, least))
        for name in ("dropout", "pooling", "learning_rate"):
            value = getattr(self, name)
            if not isinstance(value, Real) or isinstance(value, bool):
                raise ConfigError(f"{name} must be a number, got {value!r}")
            object.__setattr__(self, name, float(value))
        if self.seed >= 2**64:
            raise ConfigError(f"seed must be below 2**64, got {self.seed}")
        if self.fold >= (folds := PROTOCOLS[self.protocol].folds):
            raise ConfigError(
                f"fold must be below {folds} for protocol {self.protocol}, got {self.fold}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        if not self.pooling >= 0:
            raise ConfigError(f"pooling must be at least 0, got {self.pooling}")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(
                f"learning_rate must be positive and finite, got {self.learning_rate}"
            )
        if reason := refusal(self.network, self.norm, self.protocol):
            raise ConfigError(reason)
        for name, needs in (
            ("cnn-lstm", self.backbone == "cnn-lstm"),
            (f"norm {self.norm}", NORMS[self.norm].recurrent),
        ):
            if needs and self.timesteps < 2:
                raise ConfigError(f"{name} needs timesteps of 2 or more, got {self.timesteps}")
        if "window" in self.without and self.timesteps > 1:
            raise ConfigError(
                f"a network without the window sees one time, got timesteps {self.timesteps}"
            )

    @property
    def network(self) -> Network:
        """What is trained, as a row of a table names it beside the norm."""
        scaling = None if self.scaling == USUAL[self.parts] else self.scaling
        return Network(self.backbone, self.design, self.head, scaling, self.without)

    @property
    def name(self) -> str:
        """Short name, also of the run's folder, such as ``convlstm-dense-local-paper-0``."""
        return f"{self.network.name}-{self.norm}-{self.protocol}-{self.seed}"

    def fold_of(self, city: CityData) -> Fold:
        """Return what this run may know of a city."""
        return Fold(city, self.protocol, self.fold, self.timesteps, self.parts)


def integer(name: str, value: object, least: int) -> int:
    """Return a setting as an integer of Python, which JSON can hold.

    Raises
    ------
    ConfigError
        If it is no integer or smaller than `least`.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ConfigError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ConfigError(f"{name} must be at least {least}, got {value}")
    return int(value)


def require_sequence(name: str, names: object) -> None:
    """Raise `ConfigError` if a text is given in place of a sequence of names."""
    if isinstance(names, str):
        raise ConfigError(f"{name} must be a sequence of names, got the text {names!r}")


def _require(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
