"""All networks that can be trained, with at most one option missing, as docs/protocols.md says."""

from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.network import Network

OF_ALL = (
    *("none", "global", "local", "local-nearest", "local-stations", "local-batch"),
    *("pooled", "pooled-clusters", "offset"),
)
OF_CNNS = (*OF_ALL, "local-after", "embedding")
OF_CONVLSTMS = (*OF_ALL, "recurrent")
NORMS_OF = {
    ("convlstm", "published", "dense"): (*OF_CONVLSTMS, "scaled"),
    ("convlstm", "published", "convolution"): OF_CONVLSTMS,
    ("cnn", "published", "dense"): (*OF_CNNS, "scaled"),
    ("cnn", "published", "convolution"): OF_CNNS,
    ("cnn-lstm", "published", "dense"): (*OF_CNNS, "scaled"),
    ("convlstm", "residual", "convolution"): (*OF_CONVLSTMS, "scaled"),
    ("cnn", "residual", "convolution"): (*OF_CNNS, "scaled"),
}
"""The norms of each backbone, design and head."""
SCALINGS_OF = {"published": (None, "percentile"), "residual": (None,)}
OPTIONAL = (
    *("window", "idw", "correction", "surroundings", "observed"),
    *("hour", "scaling", "limit", "several", "hiding"),
)
MISSING = {
    ("published", "paper"): (None,),
    ("published", "masked"): (None,),
    ("published", "unseen"): (None,),
    ("residual", "masked"): (None, "context", *OPTIONAL),
    ("residual", "unseen"): (None, "symmetry", *OPTIONAL),
}
"""The protocols of each design, and what can be missing there."""

ALLOWED = [
    (Network(*network, scaling, (missing,) if missing else ()), norm, protocol)
    for network, norms in NORMS_OF.items()
    for scaling in SCALINGS_OF[network[1]]
    for (design, protocol), options in MISSING.items()
    for missing in options
    for norm in norms
    if design == network[1] and not (norm == "recurrent" and missing in ("window", "symmetry"))
]
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
