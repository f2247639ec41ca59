"""All networks that can be trained, with at most one option missing."""

from itertools import product

from tritonbn.experiment.networks.combinations import refusal
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.network import BACKBONES, DESIGNS, HEADS, OPTIONS, Network
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.task.protocol import PROTOCOLS

CHOICES = [
    (network, norm, protocol)
    for network in (
        Network(*choice)
        for choice in product(
            BACKBONES, DESIGNS, HEADS, (None, "percentile"), ((), *((name,) for name in OPTIONS))
        )
    )
    for norm, protocol in product(NORMS, PROTOCOLS)
]
ALLOWED = [choice for choice in CHOICES if not refusal(*choice)]
NETWORKS = list(dict.fromkeys(network for network, *_ in ALLOWED))


def config_of(network: Network, norm: str, protocol: str, **settings: object) -> RunConfig:
    """Return a configuration that sees two times, or one without the window."""
    settings = {"timesteps": 1 if "window" in network.without else 2} | settings
    return RunConfig(
        network.backbone,
        norm,
        protocol,
        design=network.design,
        head=network.head,
        without=network.without,
        scaling=network.scaling or "maximum",
        **settings,
    )
