"""`RunConfig`: everything that decides the numbers of one training run."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

PRESETS: dict[str, dict[str, int]] = {
    "quick": {"steps": 500, "batch_size": 32, "test_times": 120, "validation_times": 8},
    "thorough": {"steps": 500, "batch_size": 32, "validation_times": 16},
    "paper": {"steps": 1200, "batch_size": 128, "validation_times": 64},
}
"""Arguments of `RunConfig`: a few minutes on two cores, the same steps with every
test time, and the published sizes."""


_WIDE: dict[str, int | float] = {
    "steps": 700,
    "batch_size": 96,
    "learning_rate": 2e-3,
    "validate_every": 100,
    "validation_times": 100,
    "timesteps": 3,
}
WIDE = {"masked": _WIDE, "unseen": _WIDE | {"steps": 400, "timesteps": 1}}
"""Arguments of `RunConfig` for wide networks by protocol, whatever the preset; chosen by
validation. They need fewer steps and times where the places that count are unknown."""

MODELS = {
    "convlstm": "ConvLSTM",
    "cnn": "CNN",
    "wide-convlstm": "wide ConvLSTM",
    "wide-cnn": "wide CNN",
}
"""The networks as tables and figures name them."""

NORMS = ("none", "global", "local", "local-nearest", "local-stations", "offset")
"""The normalizations; the last is a control without one."""

PUBLISHED_ARMS = [(model, norm) for model in ("convlstm", "cnn") for norm in NORMS[:3]]
"""The models and norms of the published experiment."""

ARMS = [
    *PUBLISHED_ARMS,
    *((model, norm) for model in ("wide-convlstm", "wide-cnn") for norm in NORMS),
]
"""The models and norms that can be compared."""


def is_wide(model: str) -> bool:
    """Whether a network is one that can interpolate."""
    return model.startswith("wide-")


def can_learn(model: str, protocol: str) -> bool:
    """Whether a protocol hides stations in training, where a network learns from those alone."""
    return not (is_wide(model) and protocol == "paper")


@dataclass(frozen=True)
class RunConfig:
    """One training run. Two runs of equal configuration on one city give equal numbers.

    Parameters
    ----------
    model : {"convlstm", "cnn", "wide-convlstm", "wide-cnn"}
        The interpolation network. The wide ones are those that can interpolate: they see IDW and
        which readings there are, the whole grid (but for ``"unseen"``, where places are not known)
        and several times, and correct IDW. They learn from hidden stations.
    norm : {"none", "global", "local", "local-nearest", "local-stations", "offset"}
        Its normalization: nothing, `torch.nn.BatchNorm2d`, `tritonbn.LocalBN` with a segment per
        cell, per nearest station, or per station with the rest pooled; or, as a control, a learned
        gain and offset of each cell without normalization.
    protocol : {"paper", "masked", "unseen"}
        Which stations are hidden when, and what is predicted; see `tritonbn.experiment.protocol`.
    seed : int
        Of the initial weights and of the batches. Default 0.
    fold : int
        Which fold of the stations is absent; 0 but for ``"unseen"``. Default 0.
    steps : int
        Optimizer steps at most. Default 1200.
    batch_size : int
        Samples per step, at least 2: batch statistics need two values. Default 128.
    learning_rate : float
        Of Adam. Default 1e-3.
    validate_every : int
        Steps between two validations. Default 20.
    patience : int
        Validations without improvement after which training stops. Default 10.
    timesteps : int
        Consecutive times the model sees. Default 1.
    test_times, validation_times : int, optional
        How many times, evenly spaced over the part, are scored. Default all.

    Raises
    ------
    ValueError
        If a value is none of those allowed; the message names it.
    """

    model: Literal["convlstm", "cnn", "wide-convlstm", "wide-cnn"]
    norm: Literal["none", "global", "local", "local-nearest", "local-stations", "offset"]
    protocol: Literal["paper", "masked", "unseen"]
    seed: int = 0
    fold: int = 0
    steps: int = 1200
    batch_size: int = 128
    learning_rate: float = 1e-3
    validate_every: int = 20
    patience: int = 10
    timesteps: int = 1
    test_times: int | None = None
    validation_times: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if get_origin(field.type) is Literal and value not in get_args(field.type):
                raise ValueError(
                    f"{field.name} must be one of {get_args(field.type)}, got {value!r}"
                )
        for name, least in (
            ("seed", 0),
            ("fold", 0),
            ("steps", 1),
            ("batch_size", 2),
            ("validate_every", 1),
            ("patience", 1),
            ("timesteps", 1),
            ("test_times", 1),
            ("validation_times", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not can_learn(self.model, self.protocol):
            raise ValueError(f"{self.model} learns from hidden stations; paper hides none")

    @property
    def wide(self) -> bool:
        """Whether the network is one that can interpolate."""
        return is_wide(self.model)

    @property
    def backbone(self) -> Any:
        """The network without its options: ``"convlstm"`` or ``"cnn"``."""
        return self.model.removeprefix("wide-")

    @property
    def norm_kind(self) -> Any:
        """The normalization without its segments, as `build_model` names it."""
        return "local" if self.norm.startswith("local") else self.norm

    @property
    def name(self) -> str:
        """Short name, also of the run's folder: ``convlstm-local-paper-0``."""
        return f"{self.model}-{self.norm}-{self.protocol}-{self.seed}"
