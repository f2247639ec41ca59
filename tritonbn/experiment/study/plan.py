"""Which runs a comparison consists of: all combinations that the protocols allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from typing import Any

from tritonbn.experiment.baselines import BASELINES, baselines_of
from tritonbn.experiment.networks.combinations import refusal
from tritonbn.experiment.networks.config import (
    ConfigError,
    RunConfig,
    integer,
    require_sequence,
)
from tritonbn.experiment.networks.network import BACKBONES, DESIGNS, HEADS, OPTIONS, Network
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.scaling import SCALINGS
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.models.head import HeadName


@dataclass(frozen=True)
class Plan:
    """All combinations of the choices, without those that are refused.

    Parameters
    ----------
    backbones, designs, norms, protocols : sequence of str
        The choices.
    heads : sequence of str, optional
        Of published networks. Default: the dense head.
    scalings : sequence of str or None
        Of published networks; None is the scaling of the preset. Default: None alone.
    without : sequence of str
        Options that a residual network is trained without, one at a time, besides the network that
        has all of them. Default: none.
    baselines : sequence of str, optional
        Default: all that a protocol allows.
    seeds : int
        Each network is trained with the seeds 0, 1, ... Default 1.

    Raises
    ------
    ConfigError
        If a name is unknown, a library that a baseline needs is not installed, or a choice takes
        part in no combination that is allowed; the message says why.
    """

    backbones: Sequence[str]
    designs: Sequence[str]
    heads: Sequence[HeadName] | None
    norms: Sequence[str]
    protocols: Sequence[str]
    scalings: Sequence[str | None] = (None,)
    without: Sequence[str] = ()
    baselines: Sequence[str] | None = None
    seeds: int = 1

    def __post_init__(self) -> None:
        for name, chosen, allowed in (
            ("backbones", self.backbones, BACKBONES),
            ("designs", self.designs, DESIGNS),
            ("heads", self.heads or (), HEADS),
            ("norms", self.norms, NORMS),
            ("protocols", self.protocols, PROTOCOLS),
            ("scalings", self.scalings, (None, *SCALINGS)),
            ("without", self.without, OPTIONS),
            ("baselines", self.baselines or (), BASELINES),
        ):
            require_sequence(name, chosen)
            if unknown := [str(value) for value in chosen if value not in allowed]:
                known = ", ".join(value for value in allowed if value)
                raise ConfigError(f"{name} must be among {known}; got {', '.join(unknown)}")
        integer("seeds", self.seeds, least=1)
        if not self.protocols:
            raise ConfigError("protocols must name at least one protocol")
        self._require_libraries()
        self._require_use()

    @property
    def networks(self) -> list[Network]:
        """The networks, whether or not a protocol allows them."""
        networks = []
        heads = self.heads or HEADS[:1]
        for design, backbone in product(self.designs, self.backbones):
            if design == "published":
                choices = product(heads, self.scalings or (None,))
                networks += [Network(backbone, design, *choice) for choice in choices]
            else:
                (head,) = DESIGNS[design].heads
                options = [(), *((option,) for option in self.without)]
                networks += [Network(backbone, design, head, None, of) for of in options]
        return list(dict.fromkeys(networks))

    def runs(self) -> list[tuple[Network, str, str, int]]:
        """Return network, norm, protocol and seed of each run, protocol by protocol."""
        return [
            (network, norm, protocol, seed)
            for protocol, seed, network, norm in product(
                dict.fromkeys(self.protocols),
                range(self.seeds),
                self.networks,
                dict.fromkeys(self.norms),
            )
            if not refusal(network, norm, protocol)
        ]

    def configs(self, preset: str, settings: Mapping[str, Any]) -> list[RunConfig]:
        """Return the configuration of each run, with a preset and settings that differ from it.

        Raises
        ------
        ConfigError
            If a setting is not allowed for one of them.
        """
        return list(
            dict.fromkeys(
                RunConfig.preset(
                    preset,
                    **{**settings, **vars(network)},
                    norm=norm,
                    protocol=protocol,
                    seed=seed,
                )
                for network, norm, protocol, seed in self.runs()
            )
        )

    def baselines_by_protocol(self) -> list[tuple[str, str]]:
        """Return name and protocol of each baseline to test."""
        return [
            (name, protocol)
            for protocol in dict.fromkeys(self.protocols)
            for name in baselines_of(protocol)
            if self.baselines is None or name in self.baselines
        ]

    def _require_libraries(self) -> None:
        names = BASELINES if self.baselines is None else self.baselines
        libraries = {library for name in names if (library := BASELINES[name].requires)}
        if missing := sorted(library for library in libraries if not find_spec(library)):
            raise ConfigError(
                f"the baselines need {', '.join(missing)}: pip install 'tritonbn[baselines]', or "
                "choose other baselines"
            )

    def _require_use(self) -> None:
        """Raise if a choice takes part in no run."""
        runs = self.runs()
        used: dict[str, set[Any]] = {
            "backbones": {network.backbone for network, *_ in runs},
            "designs": {network.design for network, *_ in runs},
            "heads": {network.head for network, *_ in runs},
            "scalings": {network.scaling for network, *_ in runs},
            "norms": {norm for _, norm, _, _ in runs},
            "without": {option for network, *_ in runs for option in network.without},
        }
        protocols = " and ".join(self.protocols)
        absent = [
            (name, value, self._reason(name, value))
            for name, those in used.items()
            for value in (getattr(self, name) or () if self.networks and self.norms else ())
            if value is not None and value not in those
        ]
        if absent:  # if one choice rules out others, it is the one that the reason names
            name, value, reason = next((one for one in absent if one[1] in one[2]), absent[0])
            raise ConfigError(f"no run under protocol {protocols} uses {name} {value!r}: {reason}")
        tested = {name for name, _ in self.baselines_by_protocol()}
        if unused := [name for name in self.baselines or () if name not in tested]:
            raise ConfigError(
                f"baselines {', '.join(unused)} are fitted to the estimated station, which "
                f"protocol {protocols} holds out"
            )
        if not runs and not tested:
            raise ConfigError("there is nothing to compare: no network and no baseline is chosen")

    def _reason(self, name: str, value: str) -> str:
        """Say why no run has a value of a choice."""
        reasons = [
            refusal(network, norm, protocol)
            for network, norm, protocol in product(self.networks, self.norms, self.protocols)
            if value in (*_names(network), norm)
        ]
        design = "residual" if name == "without" else "published"
        return reasons[0] if reasons else f"that needs designs {design}"


def _names(network: Network) -> tuple[str, ...]:
    return network.backbone, network.design, network.head, str(network.scaling), *network.without
