"""The arithmetic of stage 2: with NumPy on a CPU, with PyTorch on other devices.

Stage 2 consists of many operations on a few numbers of each column or segment. PyTorch divides an
operation on a CPU among threads and waits for all of them, which takes milliseconds if another
program uses one of the cores. NumPy computes in the thread that calls it, and needs less time for
a call. An *array* is a NumPy array or a tensor.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from tritonbn.partition import Partition

Array = Any
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_BLOCK = 32768  # numbers: 256 KiB in float64


class Arithmetic(Protocol):
    """What NumPy and PyTorch call differently."""

    def of(self, tensor: Tensor) -> Array:
        """Return the array of a tensor; it shares its memory if possible."""

    def blocks(self, channels: int, width: int) -> list[slice]:
        """Divide the channels, of `width` numbers each, into blocks to compute one by one.

        NumPy allocates memory for the result of every operation. For a large array this takes
        longer than the operation, and its numbers do not stay in the cache of the processor.
        """

    def tensor(self, array: Array) -> Tensor:
        """Return the tensor of an array, contiguous in memory and not read-only."""

    def assign(self, tensor: Tensor, array: Array) -> None:
        """Copy an array to a tensor of any dtype."""

    def cast(self, array: Array, dtype: torch.dtype) -> Array:
        """Return an array in another dtype."""

    def stack(self, arrays: Sequence[Array], dtype: torch.dtype) -> Array:
        """Join arrays of the same shape along a new first axis."""

    def where(self, condition: Array, one: Array, other: Array) -> Array:
        """Return the entries of one array where a condition holds, and of another elsewhere."""

    def rsqrt(self, array: Array) -> Array:
        """Return ``1 / sqrt(array)``."""

    def at_least_1(self, array: Array) -> Array:
        """Return the entries, but 1 for smaller ones."""

    def constants(self, values: Sequence[float], like: Array) -> Array:
        """Return K values as an array of shape (K, 1, 1) in the dtype of another one."""

    def expand(self, array: Array, shape: Sequence[int]) -> Array:
        """Repeat an array along its axes of size 1."""

    def take(self, array: Array, ids: Array) -> Array:
        """Return the entries with these ids of the last axis."""

    def sums(self, array: Array, partition: Partition) -> Array:
        """Sum the cells of each segment along the last axis."""


class _OfNumPy:
    def of(self, tensor: Tensor) -> Array:
        tensor = tensor.detach()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()

    def blocks(self, channels: int, width: int) -> list[slice]:
        size = max(1, _BLOCK // width)
        return [slice(start, start + size) for start in range(0, channels, size)]

    def tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array if array.flags.carray else array.copy())

    def assign(self, tensor: Tensor, array: Array) -> None:
        if tensor.dtype == torch.bfloat16:
            tensor.copy_(self.tensor(array))
        else:
            self.of(tensor)[...] = array

    def cast(self, array: Array, dtype: torch.dtype) -> Array:
        return array.astype(_DTYPES[dtype], copy=False)

    def stack(self, arrays: Sequence[Array], dtype: torch.dtype) -> Array:
        stacked = np.empty((len(arrays), *arrays[0].shape), _DTYPES[dtype])
        for number, array in enumerate(arrays):
            stacked[number] = array
        return stacked

    def where(self, condition: Array, one: Array, other: Array) -> Array:
        return np.where(condition, one, other)

    def rsqrt(self, array: Array) -> Array:
        root = np.sqrt(array)
        return np.reciprocal(root, out=root)

    def at_least_1(self, array: Array) -> Array:
        return np.maximum(array, 1)

    def constants(self, values: Sequence[float], like: Array) -> Array:
        return np.array(values, like.dtype)[:, None, None]

    def expand(self, array: Array, shape: Sequence[int]) -> Array:
        return np.broadcast_to(array, shape)

    def take(self, array: Array, ids: Array) -> Array:
        return np.take(array, ids, axis=-1)

    def sums(self, array: Array, partition: Partition) -> Array:
        begins, inside = self.of(partition.offsets)[:-2], len(partition.ids) - partition.outside
        sorted_cells = np.take(array, self.of(partition.members)[:inside], axis=-1)
        return np.add.reduceat(sorted_cells, begins, axis=-1)


class _OfPyTorch:
    def of(self, tensor: Tensor) -> Array:
        return tensor

    def blocks(self, channels: int, width: int) -> list[slice]:
        return [slice(None)]

    def tensor(self, array: Array) -> Tensor:
        contiguous: Tensor = array.contiguous()
        return contiguous

    def assign(self, tensor: Tensor, array: Array) -> None:
        tensor.copy_(array)

    def cast(self, array: Array, dtype: torch.dtype) -> Array:
        return array.to(dtype)

    def stack(self, arrays: Sequence[Array], dtype: torch.dtype) -> Array:
        return torch.stack([*arrays]).to(dtype)

    def where(self, condition: Array, one: Array, other: Array) -> Array:
        return torch.where(condition, one, other)

    def rsqrt(self, array: Array) -> Array:
        return torch.rsqrt(array)

    def at_least_1(self, array: Array) -> Array:
        return array.clamp(min=1)

    def constants(self, values: Sequence[float], like: Array) -> Array:
        # filled without a copy from the host, which would wait for a GPU
        return torch.stack([like.new_full((1, 1), value) for value in values])

    def expand(self, array: Array, shape: Sequence[int]) -> Array:
        return array.expand(*shape)

    def take(self, array: Array, ids: Array) -> Array:
        return array[..., ids]

    def sums(self, array: Array, partition: Partition) -> Array:
        index, segments = partition.ids, partition.segments
        if partition.outside:  # an additional sum collects the cells in no segment
            index = index.where(index >= 0, segments)
        sums = array.new_zeros(*array.shape[:-1], segments + (partition.outside > 0))
        return sums.scatter_add_(-1, index.expand_as(array), array)[..., :segments]


_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
NUMPY, PYTORCH = _OfNumPy(), _OfPyTorch()


def silent(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let a function compute with values that are not finite without warnings of NumPy."""

    @wraps(function)
    def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return call


def arithmetic_on(device: torch.device) -> Arithmetic:
    """Return the arithmetic for tensors on a device."""
    return NUMPY if device.type == "cpu" else PYTORCH
