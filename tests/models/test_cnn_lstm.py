import pytest
import torch

from tritonbn import LocalBN
from tritonbn.models import CNN, CNNLSTM, build_model

GRID = (6, 5)


@pytest.mark.parametrize("norm", ["none", "global", "local", "local-batch", "offset"])
def test_any_number_of_times_gives_one_field(norm):
    model = CNNLSTM(channels=4, norm=norm, segments=GRID, memory=8)
    for times in (2, 12):
        assert model(torch.rand(3, times, 1, *GRID)).shape == (3, 1, *GRID)


def test_the_field_is_made_by_an_lstm_of_what_the_cnn_sees_at_each_time():
    torch.manual_seed(0)
    model = CNNLSTM(channels=4, segments=GRID, memory=8).eval()
    x = torch.rand(2, 3, 1, *GRID)
    cnn = CNN(channels=4, segments=GRID, head="convolution").eval()
    shared = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(("lstm", "head.dense"))
    }
    cnn.load_state_dict(shared)
    cells = torch.stack([cnn(x[:, [time]]).flatten(1) for time in range(3)])  # (T, N, H W)
    state = torch.zeros(2, 8), torch.zeros(2, 8)
    cell = torch.nn.LSTMCell(30, 8)
    cell.load_state_dict(
        {name.removesuffix("_l0"): tensor for name, tensor in model.lstm.state_dict().items()}
    )
    for of_time in cells:
        state = cell(of_time, state)
    expected = model.head.dense(state[0]).view(2, 1, *GRID)
    torch.testing.assert_close(model(x), expected)


def test_the_order_of_the_times_matters():
    model = build_model("cnn-lstm", "none", GRID).eval()
    x = torch.rand(1, 4, 1, *GRID)
    assert not torch.allclose(model(x), model(x.flip(1)))


def test_statistics_are_of_all_times_together():
    model = CNNLSTM(channels=4, norm="local", segments=GRID)
    seen = []
    model.norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    model(torch.rand(8, 3, 1, *GRID))
    assert isinstance(model.norm, LocalBN)
    assert seen[0].shape == (24, 4, *GRID)
    assert model.norm.num_batches_tracked == 1
    mean = seen[0].mean(0).flatten(1)  # (4, H W)
    torch.testing.assert_close(model.norm.running_mean, 0.1 * mean)


def test_input_without_a_time_is_refused():
    with pytest.raises(ValueError, match="with T at least 1, got"):
        CNNLSTM(segments=GRID)(torch.rand(2, 0, 1, *GRID))


def test_an_empty_batch_gives_an_empty_field():
    model = CNNLSTM(channels=4, norm="local", segments=GRID, memory=8)
    assert model(torch.rand(0, 2, 1, *GRID)).shape == (0, 1, *GRID)
