"""Check the arguments of `local_batch_norm` before anything is computed."""

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

from tritonbn.caller import is_transformed, wants_registered_operator
from tritonbn.segments import Segments


def check_arguments(
    x: Tensor,
    segments: Segments,
    parameters: dict[str, Tensor | None],
    mask: Tensor | None,
) -> None:
    """Raise the documented errors of `tritonbn.local_batch_norm`; they name the argument."""
    if not isinstance(segments, Segments):
        raise TypeError(f"segments must be a tritonbn.Segments, got {type(segments).__name__}")
    _check_tensor("x", x)
    if not x.is_floating_point():
        raise TypeError(f"x must have a floating-point dtype, got {x.dtype}")
    grid = segments.grid
    if x.dim() < 2 + len(grid) or x.shape[-len(grid) :] != grid:
        raise ValueError(
            f"x must have shape (N, C, ..., {', '.join(map(str, grid))}) to fit segments, "
            f"got {tuple(x.shape)}"
        )
    if (parameters["running_mean"] is None) != (parameters["running_var"] is None):
        raise ValueError("running_mean and running_var must be given together or not at all")
    expected = (x.shape[1], segments.num_segments)
    for name, parameter in parameters.items():
        if parameter is None:
            continue
        _check_tensor(name, parameter)
        if parameter.shape != expected:
            raise ValueError(
                f"{name} must have shape {expected} (channels, segments), "
                f"got {tuple(parameter.shape)}"
            )
        if not parameter.is_floating_point():
            raise TypeError(f"{name} must have a floating-point dtype, got {parameter.dtype}")
        _check_device(name, parameter, x)
    if mask is not None:
        _check_tensor("mask", mask)
        if mask.dtype != torch.bool:
            raise TypeError(f"mask must have dtype torch.bool, got {mask.dtype}")
        target = (x.shape[0], 1, *x.shape[2:])
        sizes = (1,) * (x.dim() - mask.dim()) + tuple(mask.shape)
        if len(sizes) != x.dim() or any(
            s not in (1, t) for s, t in zip(sizes, target, strict=True)
        ):
            raise ValueError(
                f"mask must be broadcastable to {target}, got shape {tuple(mask.shape)}"
            )
        _check_device("mask", mask, x)


def check_momentum(momentum: float | Tensor) -> None:
    """Raise `TypeError` for a momentum that is neither a number nor a tensor of one element."""
    if isinstance(momentum, Tensor):
        if momentum.numel() == 1:
            return
        got = f"a tensor of shape {tuple(momentum.shape)}"
    elif isinstance(momentum, Real):
        return
    else:
        got = repr(momentum)
    raise TypeError(f"momentum must be a number, or a tensor of one element, got {got}")


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")


def _check_device(name: str, tensor: Tensor, x: Tensor) -> None:
    if tensor.device != x.device:
        raise ValueError(f"{name} must be on the device of x, {x.device}, got {tensor.device}")


def can_check_values(x: Tensor) -> bool:
    """Return whether a number can be read without waiting for a GPU, or breaking a graph."""
    return x.device.type == "cpu" and not wants_registered_operator(x) and not is_transformed()


def check_counts(x: Tensor, segments: Segments, ids: Tensor, mask: Tensor | None) -> None:
    """Raise `ValueError` for a segment with a single value, as `torch.nn.BatchNorm2d` does.

    The values of a mask are checked only if `can_check_values`.
    """
    entries_per_cell = x.shape[0] * x.shape[2 : x.dim() - len(segments.grid)].numel()
    if mask is None:
        if entries_per_cell == 1:
            _refuse(segments.single_cells, segments.num_segments)
    elif can_check_values(x):
        counted = mask.expand(x.shape[0], 1, *x.shape[2:]).reshape(-1, len(ids)).sum(0)
        inside = ids >= 0
        count = counted.new_zeros(segments.num_segments)
        check_single(count.index_add_(0, ids[inside], counted[inside]))


def check_single(count: Tensor, what: str = "segment") -> None:
    """Raise `ValueError` for a segment with a single value, given the number of values of each."""
    _refuse((count == 1).nonzero().flatten().tolist(), len(count), what)


def _refuse(single: Sequence[int], segments: int, what: str = "segment") -> None:
    if single:
        raise ValueError(
            f"{what} {single[0]} has a single value per channel ({len(single)} of "
            f"{segments} segments do); the variance needs more than one"
        )
