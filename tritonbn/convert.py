"""Exchange `nn.BatchNorm2d` and `LocalBN` in an existing model, and synchronize its layers."""

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tritonbn.module import LocalBN
from tritonbn.segments import Segments

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def convert_batchnorm(
    model: nn.Module,
    segments: Segments | Callable[[tuple[int, ...]], Segments],
    example: Tensor | tuple[Tensor, ...] | None = None,
) -> nn.Module:
    """Replace every `torch.nn.BatchNorm2d` of a model with a `LocalBN`.

    Each segment starts with a copy of the layer's parameters and running statistics. In evaluation
    mode the converted model therefore computes the same as before, except in cells without a
    segment. Hooks, devices, dtypes, `requires_grad` and the mode (training or evaluation) are kept.
    The parameters are new tensors, so create the optimizer after the conversion.

    `torch.nn.SyncBatchNorm`, `torch.nn.LazyBatchNorm2d` and subclasses of `torch.nn.BatchNorm2d`
    behave differently from a plain `torch.nn.BatchNorm2d`. They are not converted, and a warning
    names them.

    Parameters
    ----------
    model : Module
        Changed in place, unless it is itself a `torch.nn.BatchNorm2d`.
    segments : Segments, or function from a grid to Segments
        The partition of the grid. Give a function, such as `Segments.per_cell`, if the layers of
        the network work on grids of different sizes; it is called once for each grid shape, such
        as ``(16, 16)``.
    example : Tensor or tuple of Tensor, optional
        An input of the model. Required if `segments` is a function: a copy of the model is called
        with it to find the grid of each layer.

    Returns
    -------
    Module
        `model`, or the new layer if `model` was itself a `torch.nn.BatchNorm2d`.

    Raises
    ------
    TypeError
        If `segments` is neither `Segments` nor a function.
    ValueError
        If `segments` is a function and `example` is missing, if it returns anything but segments of
        the grid, if a layer is not called with the example or is called on several grids, or if a
        layer is pruned or parametrized. The model is then unchanged.

    Examples
    --------
    >>> import torch
    >>> from tritonbn import Segments, convert_batchnorm
    >>> norm = torch.nn.BatchNorm2d(4)
    >>> convert_batchnorm(torch.nn.Sequential(norm), Segments.single((8, 8)))[0].segments
    Segments(1 on 8x8)

    If the layers work on several grids, give a function and an example of the input:

    >>> conv = torch.nn.Conv2d(1, 4, 3, stride=2, padding=1)
    >>> model = torch.nn.Sequential(conv, torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    >>> convert_batchnorm(model, Segments.per_cell, torch.zeros(2, 1, 32, 32))[1].segments
    Segments(256 on 16x16)

    On a coarse grid several stations may share a cell. Then give each coarse cell the segment of
    its first fine cell:

    >>> fine = Segments.nearest([0, 1, 620], (32, 32)).ids
    >>> def coarser(grid):
    ...     ids = fine[:: 32 // grid[0], :: 32 // grid[1]]
    ...     return Segments(ids.unique(return_inverse=True)[1])
    >>> coarser((16, 16))
    Segments(3 on 16x16)
    """
    norms: dict[str, nn.BatchNorm2d] = {}
    others = []
    for name, module in model.named_modules():
        if type(module) is nn.BatchNorm2d:
            norms[name] = module
        elif isinstance(module, nn.BatchNorm2d | nn.LazyBatchNorm2d | nn.SyncBatchNorm):
            others.append(f"{name or 'the model'} ({type(module).__name__})")
    _require_plain_parameters(norms)
    if isinstance(segments, Segments):
        chosen = dict.fromkeys(norms, segments)
    elif callable(segments):
        chosen = _choose(model, norms, segments, example)
    else:
        raise TypeError(
            "segments must be tritonbn.Segments, or a function from the shape of a grid to them, "
            f"such as Segments.per_cell; got {segments!r}"
        )
    if others:
        warnings.warn(
            "convert_batchnorm converts plain nn.BatchNorm2d layers only; unchanged are "
            f"{', '.join(others)}",
            stacklevel=2,
        )
    return _replace(model, {norm: _to_local(norm, chosen[name]) for name, norm in norms.items()})


def revert_batchnorm(model: nn.Module) -> nn.Module:
    """Replace every `LocalBN` of a model with the equivalent `torch.nn.BatchNorm2d`.

    Every `LocalBN` must have one segment over the whole grid. Parameters, running statistics and
    all that `convert_batchnorm` keeps are kept.

    Parameters
    ----------
    model : Module
        Changed in place, unless it is itself a `LocalBN`.

    Returns
    -------
    Module
        `model`, or the new layer if `model` was itself a `LocalBN`.

    Raises
    ------
    ValueError
        If no `torch.nn.BatchNorm2d` is equivalent to a layer: it has several segments, cells in no
        segment, an activation, a process group or a grid that is not two-dimensional, or it is a
        subclass of `LocalBN`; or a layer is pruned or parametrized. The model is then unchanged.

    Examples
    --------
    >>> from tritonbn import LocalBN, Segments, revert_batchnorm
    >>> layer = revert_batchnorm(LocalBN(4, Segments.single((32, 32))))
    >>> type(layer).__name__, layer.weight.shape
    ('BatchNorm2d', torch.Size([4]))
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LocalBN)}
    for name, local in layers.items():
        if difference := _difference(local):
            raise ValueError(
                f"{name or 'the model'} is not equivalent to a BatchNorm2d: it {difference}"
            )
    _require_plain_parameters(layers)
    return _replace(model, {local: _to_global(local) for local in layers.values()})


def convert_sync_localbn(
    model: nn.Module, process_group: "ProcessGroup | None" = None
) -> nn.Module:
    """Let every `LocalBN` of a model use the statistics of all ranks of a process group.

    This is what `torch.nn.SyncBatchNorm.convert_sync_batchnorm` is for `torch.nn.BatchNorm2d`. In
    training, mean, variance and count of each segment are then those of the batches of all ranks
    together; evaluation does not change. It sets `LocalBN.process_group`; parameters and running
    statistics stay the same tensors, so that an optimizer may have been created before.

    Parameters
    ----------
    model : Module
        Changed in place.
    process_group : torch.distributed.ProcessGroup, optional
        Default: the group of all processes.

    Returns
    -------
    Module
        `model`.

    Raises
    ------
    ValueError
        If no process group is given, and `torch.distributed.init_process_group` has not been
        called.
    TypeError
        If `process_group` is no process group that this process belongs to.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from tritonbn import LocalBN, convert_sync_localbn
    >>> store = torch.distributed.FileStore(tempfile.mktemp(), 1)
    >>> torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    >>> model = convert_sync_localbn(torch.nn.Sequential(LocalBN(4, (8, 8))))
    >>> model[0].process_group.size()
    1
    >>> torch.distributed.destroy_process_group()
    """
    if process_group is None:
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            raise ValueError(
                "there is no process group: call torch.distributed.init_process_group first, or "
                "give a process group"
            )
        process_group = torch.distributed.group.WORLD
    for module in model.modules():
        if isinstance(module, LocalBN):
            module.process_group = process_group
    return model


def _difference(local: LocalBN) -> str:
    """Say what distinguishes a layer from any `torch.nn.BatchNorm2d`; empty if nothing does."""
    if type(local) is not LocalBN:
        return f"is a {type(local).__name__}"
    if local.levels is not None:
        return "has several levels of segments"
    if len(grid := local.segments.grid) != 2:
        return f"has a grid of {len(grid)} dimensions"
    if local.segments != Segments.single(grid):
        return f"has {local.segments}, not one segment of all cells"
    if local.activation:
        return f"has the activation {local.activation}"
    return "" if local._group_name is None else "has a process group"


def _require_plain_parameters(layers: Mapping[str, nn.Module]) -> None:
    """Raise `ValueError` if weight or bias of a layer are computed from other parameters."""
    for name, layer in layers.items():
        for parameter in ("weight", "bias"):
            if parameter not in layer._parameters:
                raise ValueError(
                    f"the {parameter} of {name or 'the model'} is no parameter, because it is "
                    "pruned or parametrized; undo that first, for example with "
                    "torch.nn.utils.prune.remove"
                )


def _choose(
    model: nn.Module,
    norms: Mapping[str, nn.Module],
    segments: Callable[[tuple[int, ...]], Segments],
    example: Tensor | tuple[Tensor, ...] | None,
) -> dict[str, Segments]:
    """Call `segments` for the grid of each layer, found by calling the model with the example."""
    if example is None:
        raise ValueError("an example input must be given if segments is a function of the grid")
    seen: dict[str, set[tuple[int, ...]]] = {name: set() for name in norms}
    twin = copy.deepcopy(model)
    for name, module in twin.named_modules():
        if isinstance(module, _BatchNorm):  # which may refuse a single sample in training
            module.eval()
        if name in seen:
            module.register_forward_pre_hook(
                lambda _, inputs, named, name=name: seen[name].add(
                    tuple(inputs[0].shape[2:] if inputs else named["input"].shape[2:])
                ),
                with_kwargs=True,
            )
    gpus = range(torch.cuda.device_count())
    with torch.no_grad(), torch.random.fork_rng(gpus):
        twin(*((example,) if isinstance(example, Tensor) else example))
    for name, grids in seen.items():
        if len(grids) != 1:
            found = " and ".join(str(grid) for grid in sorted(grids)) or "no grid"
            raise ValueError(
                f"every layer must work on exactly one grid, but {name} works on {found}"
            )
    of_grid = {grid: segments(grid) for grids in seen.values() for grid in grids}
    for grid, made in of_grid.items():
        if not isinstance(made, Segments) or made.grid != grid:
            raise ValueError(f"segments({grid}) must return tritonbn.Segments of it, got {made!r}")
    return {name: of_grid[grid] for name, (grid,) in seen.items()}


def _replace(model: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Put the replacements in place of the originals, under all names of a shared layer."""
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
            # the same dict, so that the handles still remove hooks
            setattr(replacement, name, hooks)
    loading: Any = replacement._load_state_dict_pre_hooks
    for key, hook in loading.items():
        if hook.with_module:  # the hook holds a reference to the original module
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
    """Copy parameters and statistics in the new shape; each keeps its device and dtype."""
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        tensor: Tensor | None = getattr(original, name)
        value = None
        if tensor is not None:
            value = (reshape(tensor) if tensor.dim() else tensor).detach().clone()
        if value is not None and isinstance(tensor, nn.Parameter):
            value = nn.Parameter(value, tensor.requires_grad)
        setattr(replacement, name, value)
