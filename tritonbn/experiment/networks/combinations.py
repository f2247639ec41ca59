"""Which networks can be trained with which norms under which protocols."""

from importlib.util import find_spec

from tritonbn.experiment.networks.network import DESIGNS, Network
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.task.protocol import PROTOCOLS


def refusal(network: Network, norm: str, protocol: str) -> str:
    """Say why a network cannot be trained with a norm under a protocol; empty if it can.

    Every name must be one that is registered.
    """
    backbone, head = network.backbone, network.head
    design = DESIGNS[network.design]
    held_out = PROTOCOLS[protocol].folds > 1
    if head not in design.heads:
        return f"{network.design} networks have the head {' or '.join(design.heads)}, not {head}"
    if backbone not in design.backbones or (backbone == "cnn-lstm" and head != "dense"):
        return f"there is no {network.title}; choose another design or head for {backbone}"
    if network.design != "residual" and network.without:
        return f"only residual networks accept without, got {', '.join(network.without)}"
    if network.design == "residual" and network.scaling is not None:
        return "residual networks standardize each sample by itself; scaling is for published ones"
    if network.design == "residual" and not PROTOCOLS[protocol].hides:
        return f"residual networks learn from hidden stations; protocol {protocol} hides none"
    for option in network.without:
        if option == ("context" if held_out else "symmetry"):
            return (
                f"networks under protocol {protocol} do not use {option}, so it cannot be left out"
            )
    allowed = NORMS[norm].backbones
    if allowed is not None and backbone not in allowed:
        return f"norm {norm} is for {' and '.join(allowed)}, not for {backbone}"
    for option in network.without:
        if NORMS[norm].recurrent and option in ("symmetry", "window"):
            uses = "does not use symmetry" if option == "symmetry" else "sees several times"
            return f"a network with norm {norm} {uses}, so {option} cannot be left out"
    if NORMS[norm].clusters and not find_spec("sklearn"):
        return f"norm {norm} needs scikit-learn: pip install 'tritonbn[clusters]'"
    if NORMS[norm].by_station and network.design == "published" and head != "dense":
        return f"norm {norm} needs an unbounded output, which the {head} head does not have"
    return ""
