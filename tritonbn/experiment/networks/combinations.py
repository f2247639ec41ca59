"""Which networks can be trained with which norms under which protocols, on which cities."""

from importlib.util import find_spec

from data_prep.city import CityData, DataError
from tritonbn.experiment.networks.encoding import MIN_STD
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
        return f"without needs the design residual, got {network.design}"
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


def require_variation(city: CityData, network: Network, norm: str) -> None:
    """Raise `DataError` if a network would take almost all differences of the readings for noise.

    Residual networks and the norms by station are made for readings of the size of ug/m3; see
    `MIN_STD`. The other networks read any unit.
    """
    if network.design == "residual":
        what = "residual networks take"
    elif NORMS[norm].by_station:
        what = f"norm {norm} takes"
    else:
        return
    readings = city.values[city.observed]
    std = float(readings.std()) if len(readings) else 0.0
    if 0 < std < MIN_STD / 4:
        raise DataError(
            f"{what} differences below {MIN_STD:g} for noise, but the standard deviation of all "
            f"readings of {city.name} is {std:.2g} {city.unit}; give them in another unit"
        )
