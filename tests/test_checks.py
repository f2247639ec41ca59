"""Errors of `local_batch_norm`, whose messages name the argument."""

import pytest
import torch

from tritonbn import Segments, local_batch_norm

GRID = (4, 5)
NEAREST = Segments.nearest([0, 7, 19], GRID)
X = torch.zeros(2, 3, *GRID)
COLUMNS = torch.zeros(3, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((X, torch.zeros(4, 5)), {}, TypeError, "segments must be a tritonbn.Segments, got Tensor"),
        ((X.numpy(),), {}, TypeError, "x must be a torch.Tensor, got ndarray"),
        ((X,), {"mask": X.numpy() > 0}, TypeError, "mask must be a torch.Tensor, got ndarray"),
        ((X,), {"weight": COLUMNS.tolist()}, TypeError, "weight must be a torch.Tensor, got list"),
        ((X.long(),), {}, TypeError, "x must have a floating-point dtype, got torch.int64"),
        ((X[..., :4],), {}, ValueError, r"x must have shape \(N, C, ..., 4, 5\) .* \(2, 3, 4, 4\)"),
        ((X[0],), {}, ValueError, "x must have shape"),
        ((X,), {"weight": COLUMNS[0]}, ValueError, r"weight must have shape \(3, 3\)"),
        ((X,), {"bias": COLUMNS.long()}, TypeError, "bias must have a floating-point dtype"),
        (
            (X,),
            {"weight": COLUMNS.to("meta")},
            ValueError,
            "weight must be on the device of x, cpu",
        ),
        ((X,), {"running_mean": COLUMNS}, ValueError, "running_mean and running_var"),
        ((X,), {"mask": torch.ones(4, 5)}, TypeError, "mask must have dtype torch.bool"),
        (
            (X,),
            {"mask": torch.ones(2, 3, 4, 5).bool()},
            ValueError,
            r"broadcastable to \(2, 1, 4, 5\)",
        ),
        ((X,), {"mask": torch.ones(3, 1, 4, 5).bool()}, ValueError, "mask must be broadcastable"),
        ((X,), {"momentum": None}, TypeError, "momentum must be a number, .* got None"),
        ((X,), {"momentum": COLUMNS}, TypeError, r"momentum must be .* of shape \(3, 3\)"),
        ((X,), {"activation": "gelu"}, ValueError, "activation must be one of"),
        ((X,), {"backend": "cuda"}, ValueError, "backend must be one of"),
    ],
)
def test_bad_input_names_the_argument(arguments, options, error, words):
    x, segments = (*arguments, NEAREST)[:2]
    with pytest.raises(error, match=words):
        local_batch_norm(x, segments, **{"training": True, **options})


@pytest.mark.parametrize(
    ("segments", "mask", "name"),
    [
        (Segments([[1, 0], [1, 0]]), torch.tensor([[True, False], [True, True]]), "segment 0"),
        (Segments([[0, 1], [0, 0]]), None, "segment 1"),
    ],
)
def test_a_single_value_per_channel_is_refused(segments, mask, name):
    running = torch.zeros(3, 2), torch.ones(3, 2)
    with pytest.raises(ValueError, match=f"{name} has a single value per channel"):
        local_batch_norm(torch.randn(1, 3, 2, 2), segments, *running, training=True, mask=mask)
    assert torch.equal(running[0], torch.zeros(3, 2))
