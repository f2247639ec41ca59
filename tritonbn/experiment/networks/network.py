"""`Network`: which network a run trains, with its name and its title in tables and figures."""

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, get_args

from tritonbn.experiment.networks.scaling import SCALINGS
from tritonbn.models.head import HeadName

BACKBONES = {"convlstm": "ConvLSTM", "cnn": "CNN", "cnn-lstm": "CNN-LSTM"}
"""The backbones and their titles."""


HEADS: tuple[HeadName, ...] = get_args(HeadName)
"""What can follow the normalization: dense layers over the whole grid, as in the published figure,
or a 1x1 convolution alone."""


class Design(NamedTuple):
    """How a backbone is used: input, output, heads and default protocol.

    Parameters
    ----------
    note : str
        Explains it.
    heads : tuple of str
        The heads that it can have, the default first.
    protocol : str
        The default protocol.
    backbones : tuple of str
        The backbones that it can have.
    """

    note: str
    heads: tuple[HeadName, ...]
    protocol: str
    backbones: tuple[str, ...]


DESIGNS = {
    "published": Design(
        "one channel, the scaled readings; the field is predicted directly",
        HEADS,
        "paper",
        ("convlstm", "cnn", "cnn-lstm"),
    ),
    "residual": Design(
        "several channels and three times; the network predicts the residual, which is added to "
        "the inverse distance weighting of the readings, and learns from hidden stations",
        ("convolution",),
        "masked",
        ("convlstm", "cnn"),
    ),
}
"""The designs by name."""

OPTIONS = {
    "context": "features of the whole grid",
    "window": "preceding times",
    "idw": "IDW",
    "correction": "adding its output to IDW",
    "surroundings": "neighbourhood features",
    "observed": "the mask of readings",
    "hour": "the hour of the day",
    "scaling": "scaling by sample",
    "limit": "the limit of readings",
    "several": "several hidden stations",
    "hiding": "a loss on hidden stations only",
    "symmetry": "the symmetries of the grid",
}
"""What a residual network can be trained without, to measure its contribution (ablation)."""


@dataclass(frozen=True)
class Network:
    """A network as a row of a table names it, beside its norm.

    Parameters
    ----------
    backbone : str
        A key of `BACKBONES`.
    design : str
        A key of `DESIGNS`. Default ``"published"``.
    head : {"dense", "convolution"}
        Default ``"dense"``.
    scaling : str, optional
        A key of `SCALINGS`, where it is not the usual one.
    without : tuple of str
        Keys of `OPTIONS`. Default: none.
    """

    backbone: str
    design: str = "published"
    head: HeadName = "dense"
    scaling: str | None = None
    without: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name, such as ``cnn-dense``, ``cnn-dense-percentile``, ``cnn-residual``.

        Missing options are appended: ``cnn-residual-without-idw+hour``.
        """
        if self.design != "published":
            missing = f"-without-{'+'.join(self.without)}" if self.without else ""
            return f"{self.backbone}-{self.design}{missing}"
        return "-".join(part for part in (self.backbone, self.head, self.scaling) if part)

    @property
    def title(self) -> str:
        """The title in tables and figures, such as ``CNN (dense)`` or ``residual CNN``."""
        title = BACKBONES[self.backbone]
        if self.design != "published":
            missing = " and ".join(OPTIONS[name] for name in self.without)
            return f"{self.design} {title}{missing and f' without {missing}'}"
        scaled = f", {SCALINGS[self.scaling]}" if self.scaling else ""
        return f"{title} ({self.head}{scaled})"

    @property
    def order(self) -> tuple[object, ...]:
        """A key that sorts the rows of tables."""
        return (
            [*DESIGNS].index(self.design),
            [*BACKBONES].index(self.backbone),
            DESIGNS[self.design].heads.index(self.head),
            self.scaling is not None,
            [[*OPTIONS].index(option) for option in self.without],
        )

    @classmethod
    def named(cls, name: str) -> "Network":
        """Return the network that has a `name`.

        Raises
        ------
        ValueError
            If no network has it.
        """
        _, _, missing = name.partition("-without-")
        without = tuple(missing.split("+")) if missing else ()
        if set(without) <= set(OPTIONS):
            for backbone, (design, uses) in product(BACKBONES, DESIGNS.items()):
                for head, scaling in product(uses.heads, (None, *SCALINGS)):
                    network = cls(backbone, design, head, scaling, without)
                    if network.name == name:
                        return network
        raise ValueError(f"no network has the name {name!r}")
