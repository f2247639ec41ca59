"""`convert_batchnorm` and `revert_batchnorm`: between global and local in a model that exists."""

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tritonbn.module import LocalBN
from tritonbn.segments import Segments


def convert_batchnorm(
    model: nn.Module,
    segments: Segments | Callable[[tuple[int, ...]], Segments],
    example: Tensor | tuple[Tensor, ...] | None = None,
) -> nn.Module:
    """Replace every `torch.nn.BatchNorm2d` of a model by a `LocalBN`.

    Parameters and running statistics are carried over, the same for every segment, so that the
    converted model computes in evaluation what it did before, except in cells that are in no
    segment. Hooks, devices, types, `requires_grad` and the mode (training or evaluation) are kept.
    The parameters are new ones: make the optimizer after the conversion.

    Subclasses of `torch.nn.BatchNorm2d`, `torch.nn.SyncBatchNorm` and `torch.nn.LazyBatchNorm2d` do
    something else besides, and are left alone; a warning names them.

    Parameters
    ----------
    model : Module
        Changed in place, unless it is itself a `torch.nn.BatchNorm2d`.
    segments : Segments, or function from a grid to Segments
        The partition of the grid. A function serves a network whose layers work on several grids;
        it is called once for each of them, such as ``Segments.single((16, 16))``.
    example : Tensor or tuple of Tensor, optional
        An input of the model, which shows the grid of each layer if `segments` is a function. A
        copy of the model is called with it.

    Returns
    -------
    Module
        `model`, or the layer that takes its place.

    Raises
    ------
    ValueError
        If `segments` is a function and there is no example, or if with the example a layer is not
        called, or is called on several grids. The model is unchanged then.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    >>> convert_batchnorm(model, Segments.per_cell, torch.zeros(2, 1, 32, 32))[1].segments
    Segments(256 on 16x16)
    """
    norms: dict[str, nn.BatchNorm2d] = {}
    others = []
    for name, module in model.named_modules():
        if type(module) is nn.BatchNorm2d:
            norms[name] = module
        elif isinstance(module, nn.BatchNorm2d | nn.LazyBatchNorm2d | nn.SyncBatchNorm):
            others.append(f"{name or 'the model'} ({type(module).__name__})")
    if isinstance(segments, Segments):
        chosen = dict.fromkeys(norms, segments)
    else:
        chosen = _choose(model, norms, segments, example)
    if others:
        warnings.warn(
            f"convert_batchnorm leaves alone what is no plain nn.BatchNorm2d: {', '.join(others)}",
            stacklevel=2,
        )
    return _replace(model, {norm: _to_local(norm, chosen[name]) for name, norm in norms.items()})


def revert_batchnorm(model: nn.Module) -> nn.Module:
    """Replace every `LocalBN` of one segment by a `torch.nn.BatchNorm2d`, as it was before.

    Parameters
    ----------
    model : Module
        Changed in place, unless it is itself a `LocalBN`.

    Returns
    -------
    Module
        `model`, or the layer that takes its place.

    Raises
    ------
    ValueError
        If a `LocalBN` has several segments, cells in no segment, an activation, or a grid without
        height and width, or is a subclass: it is no `torch.nn.BatchNorm2d`. The model is unchanged
        then.

    Examples
    --------
    >>> revert_batchnorm(LocalBN(4, Segments.single((32, 32)))).state_dict()["weight"].shape
    torch.Size([4])
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LocalBN)}
    for name, local in layers.items():
        whole = local.segments == Segments.single(local.segments.grid)
        plain = type(local) is LocalBN and len(local.segments.grid) == 2 and not local.activation
        if not (whole and plain):
            raise ValueError(
                "only a LocalBN of one segment over the whole grid (height, width) and without "
                f"activation is a BatchNorm2d; {name or 'the model'} is {local}"
            )
    return _replace(model, {local: _to_global(local) for local in layers.values()})


def _choose(
    model: nn.Module,
    norms: Mapping[str, nn.Module],
    segments: Callable[[tuple[int, ...]], Segments],
    example: Tensor | tuple[Tensor, ...] | None,
) -> dict[str, Segments]:
    """Call `segments` for each grid that the layers see when the model is called."""
    if example is None:
        raise ValueError("segments is a function of the grid, for which an example must be given")
    seen: dict[str, set[tuple[int, ...]]] = {name: set() for name in norms}
    twin = copy.deepcopy(model)
    for name, module in twin.named_modules():
        if name in seen:
            module.eval().register_forward_pre_hook(
                lambda _, inputs, name=name: seen[name].add(tuple(inputs[0].shape[2:]))
            )
    gpus = range(torch.cuda.device_count())
    with torch.no_grad(), torch.random.fork_rng(gpus):
        twin(*((example,) if isinstance(example, Tensor) else example))
    for name, grids in seen.items():
        if len(grids) != 1:
            found = " and ".join(str(grid) for grid in sorted(grids)) or "no grid"
            raise ValueError(f"every layer must work on one grid, and {name} works on {found}")
    of_grid = {grid: segments(grid) for grids in seen.values() for grid in grids}
    return {name: of_grid[grid] for name, (grid,) in seen.items()}


def _replace(model: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Put the replacements where the originals are, under each of their names."""
    for original, replacement in replacements.items():
        _carry_hooks(original, replacement)
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and child in replacements:
                parent._modules[name] = replacements[child]
    return replacements.get(model, model)


def _carry_hooks(original: nn.Module, replacement: nn.Module) -> None:
    for name, hooks in vars(original).items():
        if "hook" in name:
            setattr(replacement, name, hooks)  # the same, so that their handles still remove them
    loading: Any = replacement._load_state_dict_pre_hooks
    for key, hook in loading.items():
        if hook.with_module:  # it holds the original
            loading[key] = type(hook)(hook.hook, replacement)


def _to_local(norm: nn.BatchNorm2d, segments: Segments) -> LocalBN:
    like = norm.weight if norm.weight is not None else norm.running_mean
    local = LocalBN(
        norm.num_features,
        segments,
        norm.eps,
        norm.momentum,
        norm.affine,
        norm.track_running_stats,
        device=None if like is None else like.device,
    )
    _carry_tensors(norm, local, lambda column: column[:, None].repeat(1, segments.num_segments))
    return local.train(norm.training)


def _to_global(local: LocalBN) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(
        local.num_features, local.eps, local.momentum, local.affine, local.track_running_stats
    )
    _carry_tensors(local, norm, lambda columns: columns.flatten())
    return norm.train(local.training)


def _carry_tensors(
    original: nn.Module, replacement: nn.Module, reshape: Callable[[Tensor], Tensor]
) -> None:
    """Copy parameters and statistics, each with its own device and type, in another shape."""
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        tensor: Tensor | None = getattr(original, name)
        value = None
        if tensor is not None:
            value = (reshape(tensor) if tensor.dim() else tensor).detach().clone()
        if value is not None and isinstance(tensor, nn.Parameter):
            value = nn.Parameter(value, tensor.requires_grad)
        setattr(replacement, name, value)
