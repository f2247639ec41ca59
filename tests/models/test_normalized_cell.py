"""The ConvLSTM with recurrent batch normalization, compared with plain operations of float64."""

import copy
import pickle

import pytest
import torch
from per_segment import per_segment
from torch import nn
from torch.nn.functional import conv2d

from tritonbn import Segments
from tritonbn.models import ConvLSTM, build_model
from tritonbn.models.convlstm_cell import State

GRID = (3, 4)
SEGMENTS = Segments.nearest([0, 5, 11], GRID)
N, T, C, HIDDEN = 5, 4, 2, 3


def network(norm_recurrent="local", norm_times=T, **options):
    torch.manual_seed(0)
    options = {"segments": SEGMENTS, "head": "convolution"} | options
    model = ConvLSTM(C, HIDDEN, norm_recurrent=norm_recurrent, norm_times=norm_times, **options)
    for name, parameter in model.cell.named_parameters():
        if "norm" in name:  # other values than the initial ones, which are all equal
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model.double()


def sequence(times=T, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, times, C, *GRID, dtype=torch.float64, generator=generator)


def pair():
    """Return a hidden and a cell state."""
    return sequence(2, seed=1).repeat(1, 1, 2, 1, 1)[:, :, :HIDDEN].unbind(1)


class Reference:
    """A cell that calls PyTorch's batch norm for each segment of each time."""

    def __init__(self, cell, segments):
        def copied(parameter):
            return parameter.detach().clone().requires_grad_()

        self.segments = segments
        self.convolution, self.weight, self.mean, self.var = {}, {}, {}, {}
        self.longest = 0  # sequence in training
        for part, norm in (("input", cell.input_norm), ("recurrent", cell.recurrent_norm)):
            gates = [gate.weight for gate in getattr(cell, part)]
            self.convolution[part] = copied(torch.cat(gates))
            self.weight[part] = copied(norm.weight)
            shape = (norm.norm_times, 4 * HIDDEN, segments.num_segments)
            self.mean[part] = torch.zeros(shape, dtype=torch.float64)
            self.var[part] = torch.ones(shape, dtype=torch.float64)
        self.bias = {"input": copied(cell.input_norm.bias), "recurrent": None}

    def contribution(self, part, x, time, training):
        self.longest = max(self.longest, time + 1) if training else self.longest
        row = min(time, len(self.mean[part]) - 1, self.longest - 1)
        return per_segment(
            conv2d(x, self.convolution[part], padding=1), self.segments,
            self.mean[part][row], self.var[part][row], self.weight[part], self.bias[part], training,
        )  # fmt: skip

    def __call__(self, x, state=None, training=True):
        hidden, cell = (None, 0.0) if state is None else state
        for time, now in enumerate(x.unbind(1)):
            gates = self.contribution("input", now, time, training)
            if hidden is not None:
                gates = gates + self.contribution("recurrent", hidden, time, training)
            i, f, g, o = gates.chunk(4, dim=1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
        return hidden, cell

    def gradients(self):
        """Return the gradients by the names of the parameters of the cell."""
        found = {"input_norm.bias": self.bias["input"].grad}
        for part in ("input", "recurrent"):
            found[f"{part}_norm.weight"] = self.weight[part].grad
            if self.convolution[part].grad is not None:
                for gate, gradient in enumerate(self.convolution[part].grad.chunk(4)):
                    found[f"{part}.{gate}.weight"] = gradient
        return {name: gradient for name, gradient in found.items() if gradient is not None}

    def hold_to_statistics(self, cell):
        for part, norm in (("input", cell.input_norm), ("recurrent", cell.recurrent_norm)):
            torch.testing.assert_close(norm.running_mean, self.mean[part])
            torch.testing.assert_close(norm.running_var, self.var[part])


@pytest.fixture(params=["global", "local"])
def both(request):
    """Return a function that makes a network, and the segments of its statistics."""
    segments = SEGMENTS if request.param == "local" else Segments.single(GRID)
    return lambda *arguments: network(request.param, *arguments), segments


@pytest.mark.parametrize("has_state", [True, False])
@pytest.mark.parametrize(("times", "norm_times"), [(T, T), (T, 2), (T, 7), (T, 1), (1, 1)])
def test_each_time_is_normalized_by_statistics_of_its_own(both, times, norm_times, has_state):
    make, segments = both
    cell = make(norm_times).cell
    reference = Reference(cell, segments)
    for seed in (0, 1):  # two batches, so that the running statistics have a past
        x = [sequence(times, seed).requires_grad_() for _ in "ab"]
        given = [[s.clone().requires_grad_() for s in pair()] if has_state else None for _ in "ab"]
        hidden, c, seen = cell(x[0], given[0] and tuple(given[0]))
        expected = reference(x[1], given[1])
        assert seen == times
        torch.testing.assert_close((hidden, c), expected)
        for states in ((hidden, c), expected):
            (states[0].exp() + states[1].square()).sum().backward()
        torch.testing.assert_close(x[0].grad, x[1].grad)
        for mine, wanted in zip(given[0] or (), given[1] or (), strict=True):
            torch.testing.assert_close(mine.grad, wanted.grad)
    named = {n: p.grad for n, p in cell.named_parameters() if p.grad is not None}
    torch.testing.assert_close(named, reference.gradients())
    reference.hold_to_statistics(cell)
    cell.eval()
    longer = sequence(9, seed=2)
    hidden, c, _ = cell(longer)
    torch.testing.assert_close((hidden, c), reference(longer, training=False))
    reference.hold_to_statistics(cell)


def test_the_number_of_batches_is_counted_for_each_time():
    model = network(norm_times=3)
    for times in (1, 2, 5):
        model(sequence(times))
    model.eval()(sequence(5))
    assert model.cell.input_norm.num_batches_tracked.tolist() == [3, 2, 3]
    assert model.cell.recurrent_norm.num_batches_tracked.tolist() == [0, 2, 3]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm_times", [2, 9])
def test_advancing_in_parts_equals_the_whole_sequence(both, training, norm_times):
    make, _ = both
    whole, parts = make(norm_times), make(norm_times)
    for model in (whole, parts):
        model.train()(sequence(6, seed=3))
        model.train(training)
    x = sequence(6)
    expected, expected_state = whole.advance(x)
    _, state = parts.advance(x[:, :1])
    assert state.times == 1
    _, state = parts.advance(x[:, 1:4], state)
    y, state = parts.advance(x[:, 4:], state)
    torch.testing.assert_close((y, state), (expected, expected_state))
    torch.testing.assert_close(parts.state_dict(), whole.state_dict())


def test_a_plain_pair_has_seen_no_times():
    model = network(norm_times=3)
    model(sequence(5))
    model.eval()
    x = sequence(2, seed=4)
    y, state = model.advance(x, pair())
    expected, expected_state = model.advance(x, State(*pair(), times=0))
    assert state.times == 2
    torch.testing.assert_close((y, state), (expected, expected_state))
    later, _ = model.advance(x, State(*pair(), times=1))
    assert not torch.allclose(y, later)


def test_times_that_training_has_not_reached_share_the_statistics_of_the_nearest(both):
    make, _ = both
    short, long = make(2), make(9)
    for model in (short, long):
        model(sequence(2))
        model.eval()
    x = sequence(5, seed=3)
    torch.testing.assert_close(long(x), short(x))
    # no hidden state was normalized at time 0
    hidden = torch.randn(N, 4 * HIDDEN, *GRID, dtype=torch.float64)
    norm = long.cell.recurrent_norm
    torch.testing.assert_close(norm(hidden, time=0), norm(hidden, time=1))


@pytest.mark.parametrize("head", ["convolution", "dense"])
def test_other_weights_begin_as_without_it(head):
    weights = {}
    for name in ("none", "global", "local"):
        torch.manual_seed(3)
        model = ConvLSTM(C, HIDDEN, segments=GRID, head=head, norm_recurrent=name)
        weights[name] = dict(model.named_parameters())
        assert isinstance(model.norm, nn.Identity)
    plain = weights.pop("none")
    for found in weights.values():
        common = plain.keys() & found.keys()
        assert all(torch.equal(plain[name], found[name]) for name in common)
        assert plain.keys() - common == {f"cell.input.{gate}.bias" for gate in range(4)}
        new = found.keys() - common
        assert new == {
            "cell.input_norm.weight", "cell.input_norm.bias", "cell.recurrent_norm.weight"
        }  # fmt: skip
        for name in new:
            assert (found[name] == (0.1 if name.endswith("weight") else 0.0)).all()


@pytest.mark.parametrize(("norm_recurrent", "segments"), [("global", 1), ("local", 12)])
@pytest.mark.parametrize("ids", [GRID, Segments.per_cell(GRID), Segments.per_cell(GRID).ids])
def test_segments_are_those_of_the_network_or_one(norm_recurrent, segments, ids):
    model = build_model(
        "convlstm", "none", ids, 6, channels=2, hidden=4, norm_recurrent=norm_recurrent
    )
    for norm in (model.cell.input_norm, model.cell.recurrent_norm):
        assert norm.running_mean.shape == (6, 8, segments)  # the times of the input
        assert norm.segments.grid == GRID


def test_cells_in_no_segment_are_not_normalized():
    partly = Segments.stations([1, 7], GRID, rest="identity")
    model = network(segments=partly)
    cell = model.cell
    x = sequence(1)
    plain = torch.cat([conv2d(x[:, 0], gate.weight, padding=1) for gate in cell.input], dim=1)
    i, _, g, o = plain.chunk(4, dim=1)
    expected = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
    outside = partly.ids == -1
    torch.testing.assert_close(cell(x).hidden[..., outside], expected[..., outside])


def test_a_state_is_loaded_again():
    trained, fresh = network(), network()
    trained(sequence(6, seed=5))
    nn.init.normal_(fresh.cell.input_norm.weight)
    fresh.load_state_dict(trained.state_dict())
    x = sequence()
    torch.testing.assert_close(fresh.eval()(x), trained.eval()(x))
    with pytest.raises(RuntimeError, match=r"running_mean: .*\[4, 12, 3\].*\[2, 12, 3\]"):
        network(norm_times=2).load_state_dict(trained.state_dict())


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"]
)
def test_copies_are_independent(duplicate):
    model = network()
    model(sequence(seed=6))
    twin = duplicate(model)
    x = sequence()
    expected = model.eval()(x)
    model.train()(sequence(seed=7))
    torch.testing.assert_close(twin.eval()(x), expected)
    assert twin.cell.input_norm.num_batches_tracked.tolist() == [1] * T


@pytest.mark.parametrize("training", [True, False])
def test_compiled_and_exported_networks_have_the_eager_results(both, training):
    make, _ = both
    models = [make(2), make(2)]
    for model in models:
        model.train()(sequence(6, seed=8))
        model.train(training)
    eager, other = models
    x = sequence()
    expected = eager(x)
    got = torch.compile(other, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(got, expected)
    for y in (got, expected):
        y.sum().backward()
    for mine, wanted in zip(other.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, wanted.grad)
    torch.testing.assert_close(other.state_dict(), eager.state_dict())
    if not training:
        exported = torch.export.export(eager, (x,)).module()
        torch.testing.assert_close(exported(x), expected)


def test_a_compiled_network_advances():
    model = network(norm_times=2)
    model(sequence(6, seed=9))
    advance = torch.compile(model.eval().advance, backend="aot_eager", fullgraph=True)
    state = None
    for now in sequence(5).split(1, dim=1):
        y, state = advance(now, state)
    torch.testing.assert_close((y, state), model.advance(sequence(5)))


def test_autocast():
    model = network().float()
    x = sequence().float()
    expected = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    # a normalized value of bfloat16 has a relative error of 2^-9, and there are four times
    torch.testing.assert_close(y, expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm_recurrent": "batch"}, "norm_recurrent must be one of none, .*, got 'batch'"),
        ({"segments": None}, "norm_recurrent='local' needs segments: a Segments, ids, or"),
        (
            {"norm_recurrent": "global", "segments": None},
            "norm_recurrent='global' needs segments",
        ),
        ({"norm_times": 2.5}, r"norm_times must be an integer of at least 1, got 2\.5"),
        ({"norm_times": 0}, "norm_times must be an integer of at least 1, got 0"),
        ({"symmetric": True}, "another orientation.*norm_recurrent must be 'none', got 'local'"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)


def test_a_single_value_has_no_variance():
    with pytest.raises(ValueError, match="segment 0"):
        network(segments=GRID)(sequence()[:1])
