"""`RunConfig`: everything that decides the numbers of one training run."""

from dataclasses import dataclass
from typing import Literal

from tritonbn.experiment.protocol import PROTOCOLS

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
WIDE = {"masked": _WIDE, "unseen": _WIDE | {"steps": 300, "batch_size": 32}}
"""Arguments of `RunConfig` for wide networks by protocol, whatever the preset; chosen by
validation. They need fewer steps where the places that count are unknown."""

LACKING = {
    "context": "the whole grid at once",
    "window": "the hours before",
    "idw": "IDW",
    "correction": "IDW to be corrected",
    "surroundings": "more of what is around",
    "observed": "the mask of readings",
    "hour": "the hour of the day",
    "scaling": "scaling by sample",
    "limit": "the limit of readings",
    "several": "several hidden stations",
    "hidden-only": "a loss on hidden ones only",
    "symmetry": "all ways to turn the grid",
}
"""What a wide network can be made without, to tell what it is worth, and its name in tables."""

MODELS = {
    "convlstm": "ConvLSTM",
    "cnn": "CNN",
    "wide-convlstm": "wide ConvLSTM",
    "wide-cnn": "wide CNN",
    **{f"wide-cnn-no-{name}": f"wide CNN without {what}" for name, what in LACKING.items()},
}
"""The networks as tables and figures name them."""

NORMS = {
    "none": "no normalization",
    "global": "global normalization",
    "local": "local normalization",
    "local-nearest": "local, by nearest station",
    "local-stations": "local, stations and rest",
    "local-after": "local, after the activation",
    "local-batch": "local, batch statistics",
    "offset": "gain and offset, no norm.",
    "embedding": "station embedding, no norm.",
    "scaled": "station scaling, no norm.",
}
"""The normalizations as figures name them; the last three are controls without one."""

_ARMS = ("none", "global", "local")

ARMS = {
    "published": [(model, norm) for model in ("convlstm", "cnn") for norm in _ARMS],
    "wide": [(model, norm) for model in ("wide-convlstm", "wide-cnn") for norm in _ARMS],
    "places": [("wide-cnn", norm) for norm in NORMS if norm not in _ARMS],
    "ablation": [("wide-cnn", "none"), *((f"wide-cnn-no-{name}", "none") for name in LACKING)],
}
"""The models and norms that can be compared, in groups: the published ones, those that can
interpolate, other ways to tell places apart, and what each option is worth."""

ARM_NAMES = {f"{model}-{norm}": (model, norm) for arms in ARMS.values() for model, norm in arms}
"""The same by name."""


def is_wide(model: str) -> bool:
    """Whether a network is one that can interpolate."""
    return model.startswith("wide-")


def lacks_of(model: str) -> str:
    """Return which of `LACKING` a network is made without; empty for a whole one, or a rival."""
    return model.partition("-no-")[2]


def refusal(model: str, norm: str, protocol: str) -> str:
    """Say why a network of `MODELS` cannot be trained so; empty if it can."""
    if is_wide(model) and protocol == "paper":
        return f"{model} learns from hidden stations; paper hides none"
    lacks = lacks_of(model)
    if lacks in {"masked": ("symmetry",), "unseen": ("context",)}.get(protocol, ()):
        return f"no network of {protocol} has {LACKING[lacks]}, so {model} is the whole one"
    if norm == "scaled" and not is_wide(model):
        return f"scaled is for wide networks, not for {model}"
    if norm in ("local-after", "embedding") and "cnn" not in model:
        return f"{norm} is for the CNN, not for {model}"
    return ""


@dataclass(frozen=True)
class RunConfig:
    """One training run. Two runs of equal configuration on one city give equal numbers.

    Parameters
    ----------
    model : str
        The interpolation network, a key of `MODELS`. The wide ones are those that can interpolate:
        they see several times, which readings there are and what is around, correct IDW (of
        readings limited to 2.5 spreads from the mean), and learn from hidden stations. For
        ``"masked"`` they see the whole grid at once; for ``"unseen"``, where places are not known,
        the grid in all its symmetries. ``"wide-cnn-no-..."`` lacks one of these.
    norm : str
        Its normalization, a key of `NORMS`: nothing, `torch.nn.BatchNorm2d`, `tritonbn.LocalBN`
        with a segment per cell, per nearest station, or per station with the rest pooled, after the
        activation instead of before it, or with statistics of the batch in the test, too (whose
        estimates depend on the visible readings of other times of the test); or, as a control
        without normalization, a learned gain and offset of each cell, learned channels of each cell
        beside the input, or readings scaled by the station's own mean and spread.
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
        How many times, evenly spaced over the part, are scored: when training is done, and at each
        validation. Default all.

    Raises
    ------
    ValueError
        If a value is none of those allowed; the message names it.
    """

    model: str
    norm: str
    protocol: str
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
        for name, allowed in (
            ("model", MODELS),
            ("norm", NORMS),
            ("protocol", PROTOCOLS),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
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
        if reason := refusal(self.model, self.norm, self.protocol):
            raise ValueError(reason)
        if self.lacks == "window" and self.timesteps > 1:
            raise ValueError(f"{self.model} sees one time, got timesteps {self.timesteps}")

    @property
    def wide(self) -> bool:
        """Whether the network is one that can interpolate."""
        return is_wide(self.model)

    @property
    def backbone(self) -> Literal["convlstm", "cnn"]:
        """The network without its options."""
        return "convlstm" if "convlstm" in self.model else "cnn"

    @property
    def lacks(self) -> str:
        """Which of `LACKING` a wide network is without; empty if none."""
        return lacks_of(self.model)

    @property
    def name(self) -> str:
        """Short name, also of the run's folder: ``convlstm-local-paper-0``."""
        return f"{self.model}-{self.norm}-{self.protocol}-{self.seed}"
