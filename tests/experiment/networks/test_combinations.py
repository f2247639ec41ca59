from itertools import product

from every_network import ALLOWED

from tritonbn.experiment.networks.combinations import refusal
from tritonbn.experiment.networks.network import BACKBONES, DESIGNS, HEADS, OPTIONS, Network
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.task.protocol import PROTOCOLS


def test_what_is_not_allowed_is_refused() -> None:
    missing = ((), *((name,) for name in OPTIONS))
    networks = product(BACKBONES, DESIGNS, HEADS, (None, "percentile"), missing)
    choices = product((Network(*network) for network in networks), NORMS, PROTOCOLS)
    assert {choice for choice in choices if not refusal(*choice)} == {*ALLOWED}
