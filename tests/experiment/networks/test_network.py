import pytest
from every_network import NETWORKS

from tritonbn.experiment.networks.network import Network


def test_every_network_is_found_by_its_name() -> None:
    assert len({network.name for network in NETWORKS}) == len(NETWORKS)
    for network in NETWORKS:
        assert Network.named(network.name) == network


@pytest.mark.parametrize("name", ["lstm-dense", "cnn", "cnn-residual-without-luck", "cnn-sparse"])
def test_a_name_that_no_network_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"no network has the name '{name}'"):
        Network.named(name)


@pytest.mark.parametrize(
    ("network", "name", "title"),
    [
        (Network("cnn"), "cnn-dense", "CNN (dense)"),
        (
            Network("convlstm", scaling="percentile"),
            "convlstm-dense-percentile",
            "ConvLSTM (dense, 99th percentile)",
        ),
        (Network("cnn-lstm"), "cnn-lstm-dense", "CNN-LSTM (dense)"),
        (Network("cnn", "residual", "convolution"), "cnn-residual", "residual CNN"),
        (
            Network("cnn", "residual", "convolution", None, ("idw", "hour")),
            "cnn-residual-without-idw+hour",
            "residual CNN without IDW and the hour of the day",
        ),
    ],
)
def test_names_and_titles_tell_networks_apart(network: Network, name: str, title: str) -> None:
    assert (network.name, network.title) == (name, title)


def test_published_networks_come_first_and_ablations_after_the_whole_network() -> None:
    names = [network.name for network in sorted(NETWORKS, key=lambda network: network.order)]
    assert names[:3] == ["convlstm-dense", "convlstm-dense-percentile", "convlstm-convolution"]
    assert names.index("cnn-lstm-dense") < names.index("convlstm-residual")
    assert names.index("cnn-residual") + 1 == names.index("cnn-residual-without-context")
