"""`RunConfig`: everything that decides the numbers of one training run."""

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple, get_args

from tritonbn.experiment.dataset import DEFAULT_PARTS, PARTS, SCALINGS
from tritonbn.experiment.protocol import PROTOCOLS
from tritonbn.models.head import HeadName

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"steps": 500, "batch_size": 32, "test_times": 120, "validation_times": 8},
    "thorough": {"steps": 500, "batch_size": 32, "validation_times": 16},
    "paper": {
        "steps": 1200,
        "batch_size": 128,
        "validation_times": 16,
        "parts": "161:26:46",
        "scaling": "all",
    },
}
"""Arguments of `RunConfig`: a few minutes on two cores; the same steps with every test time; the
published sizes, parts and scaling."""

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

CONVOLUTION = {"patience": 10}
"""Arguments of `RunConfig` for published networks with the convolution head. Those with the dense
head are not stopped early: they may stand still for hundreds of steps before they learn."""

CNN_LSTM = {"timesteps": 12}
"""Arguments of `RunConfig` for the CNN-LSTM."""

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
    "cnn-lstm": "CNN-LSTM",
    "wide-convlstm": "wide ConvLSTM",
    "wide-cnn": "wide CNN",
    **{f"wide-cnn-no-{name}": f"wide CNN without {what}" for name, what in LACKING.items()},
}
"""The models, and how tables and figures name them."""

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


class Network(NamedTuple):
    """A model with its head and its scaling: what a row of the tables names beside a norm."""

    model: str
    head: HeadName
    scaling: str | None
    """A key of `SCALINGS`, or None for that of the preset."""

    @property
    def name(self) -> str:
        """Short name, as in tables of results: ``cnn-dense``, ``cnn-dense-percentile``."""
        parts = (self.model, *(() if is_wide(self.model) else (self.head, self.scaling)))
        return "-".join(part for part in parts if part)

    @property
    def title(self) -> str:
        """Name in tables and figures: ``CNN (dense)``."""
        if is_wide(self.model) and self.head == "convolution":
            return MODELS[self.model]
        scaled = f", {SCALINGS[self.scaling]}" if self.scaling else ""
        return f"{MODELS[self.model]} ({self.head}{scaled})"


def is_wide(model: str) -> bool:
    """Whether a network is one that corrects IDW and learns from hidden stations."""
    return model.startswith("wide-")


def lacks_of(model: str) -> str:
    """Return which of `LACKING` a network is made without; empty for a whole one, or a rival."""
    return model.partition("-no-")[2]


HEADS: tuple[HeadName, ...] = get_args(HeadName)
"""What may follow the normalization: dense layers over the whole grid, as in the published figure,
or a 1x1 convolution alone."""

_PUBLISHED = ("convlstm", "cnn")
_ARMS = ("none", "global", "local")


NETWORKS = {
    network.name: network
    for network in (
        *(Network(*of) for of in product(_PUBLISHED, HEADS, (None, "percentile"))),
        *(Network("cnn-lstm", "dense", scaling) for scaling in (None, "percentile")),
        *(Network(model, "convolution", None) for model in MODELS if is_wide(model)),
    )
}
"""Everything that can be compared, by name."""

TITLES = {name: network.title for name, network in NETWORKS.items()}
"""The networks as tables and figures name them."""


def published_arms(head: HeadName, scaling: str | None = None) -> list[tuple[str, str]]:
    """Return the six networks and norms of the published experiment, with one of the heads."""
    names = [Network(model, head, scaling).name for model in _PUBLISHED]
    return [*product(names, _ARMS)]


ARMS = {
    "published": published_arms("dense"),
    "convolution": published_arms("convolution"),
    "repaired": published_arms("dense", "percentile"),
    "controls": [*product(("convlstm-dense", "cnn-dense"), ("offset", "scaled"))],
    "cnn-lstm": [("cnn-lstm-dense", norm) for norm in _ARMS],
    "wide": [(model, norm) for model in ("wide-convlstm", "wide-cnn") for norm in _ARMS],
    "places": [("wide-cnn", norm) for norm in NORMS if norm not in _ARMS],
    "ablation": [("wide-cnn", "none"), *((f"wide-cnn-no-{name}", "none") for name in LACKING)],
}
"""The networks and norms that can be compared, in groups: the published ones with the dense head
and with the convolution head; the former scaled by a percentile; controls without normalization;
the CNN-LSTM; the wide networks, with other ways to tell places apart, and without each
of their options."""

ARM_NAMES = {f"{model}-{norm}": (model, norm) for arms in ARMS.values() for model, norm in arms}
"""The same by name."""


def refusal(network: str, norm: str, protocol: str) -> str:
    """Say why a network of `NETWORKS` cannot be trained so; empty if it can."""
    model, head, _ = NETWORKS[network]
    if is_wide(model) and protocol == "paper":
        return f"{model} learns from hidden stations; paper hides none"
    lacks = lacks_of(model)
    if lacks in {"masked": ("symmetry",), "unseen": ("context",)}.get(protocol, ()):
        return f"no network of {protocol} has {LACKING[lacks]}, so {model} is the whole one"
    if norm == "scaled" and not is_wide(model) and head != "dense":
        return f"scaled needs an output that is not bounded, which {network} has not"
    if norm in ("local-after", "embedding") and "cnn" not in model:
        return f"{norm} is for the CNN, not for {model}"
    return ""


@dataclass(frozen=True)
class RunConfig:
    """One training run. Two runs of equal configuration on one city give equal numbers.

    Parameters
    ----------
    model : str
        The interpolation network, a key of `MODELS`: the two published ones, the CNN-LSTM, and wide
        ones. The wide ones are made to interpolate:
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
    head : {"dense", "convolution"}, optional
        What follows the normalization, a key of `HEADS`. Default ``"dense"``; wide networks have
        ``"convolution"``.
    hidden : int
        Width of the dense head. Default 1000.
    dropout : float
        Share of the hidden units of the dense head that training drops. Default 0.5.
    scaling : str
        What the readings are scaled to [0, 1] by, a key of `tritonbn.experiment.dataset.SCALINGS`.
        Wide networks scale each sample by itself. Default ``"maximum"``.
    parts : str
        How the times are cut into training, validation and test, a key of
        `tritonbn.experiment.dataset.PARTS`. Default ``"6:2:2"``.
    steps : int
        Optimizer steps at most. Default 1200.
    batch_size : int
        Samples per step, at least 2: batch statistics need two values. Default 128.
    learning_rate : float
        Of Adam. Default 1e-3.
    validate_every : int
        Steps between two validations. Default 20.
    patience : int, optional
        Validations without improvement after which training stops. Default: it takes all steps.
    timesteps : int
        Consecutive times the model sees. Default 1; the CNN-LSTM needs two.
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
    head: HeadName | None = None
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

    def __post_init__(self) -> None:
        if self.head is None:
            object.__setattr__(self, "head", "convolution" if self.wide else "dense")
        for name, allowed in (
            ("model", MODELS),
            ("norm", NORMS),
            ("protocol", PROTOCOLS),
            ("head", HEADS),
            ("scaling", SCALINGS),
            ("parts", PARTS),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
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
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if self.network not in NETWORKS or self.head != NETWORKS[self.network].head:
            raise ValueError(f"{self.model} has no {self.head} head")
        if reason := refusal(self.network, self.norm, self.protocol):
            raise ValueError(reason)
        if self.model == "cnn-lstm" and self.timesteps < 2:
            raise ValueError(f"cnn-lstm needs timesteps of 2 or more, got {self.timesteps}")
        if self.lacks == "window" and self.timesteps > 1:
            raise ValueError(f"{self.model} sees one time, got timesteps {self.timesteps}")

    @property
    def wide(self) -> bool:
        """Whether the network is one that corrects IDW and learns from hidden stations."""
        return is_wide(self.model)

    @property
    def network(self) -> str:
        """The key of `NETWORKS` that this run is one of."""
        scaling = self.scaling if self.scaling == "percentile" else None
        return Network(self.model, self.head or "dense", scaling).name

    @property
    def backbone(self) -> Literal["convlstm", "cnn", "cnn-lstm"]:
        """The network without its options."""
        if self.model == "cnn-lstm":
            return "cnn-lstm"
        return "convlstm" if "convlstm" in self.model else "cnn"

    @property
    def lacks(self) -> str:
        """Which of `LACKING` a wide network is without; empty if none."""
        return lacks_of(self.model)

    @property
    def name(self) -> str:
        """Short name, also of the run's folder: ``convlstm-dense-local-paper-0``."""
        return f"{self.network}-{self.norm}-{self.protocol}-{self.seed}"
