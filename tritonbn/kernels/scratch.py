"""`Scratch`: input tensors for launching a single kernel, used for tuning and compiling."""

from math import ceil

import torch
from torch import Tensor

from tritonbn.kernels import fused, stages
from tritonbn.kernels.configs import Config, Kernel
from tritonbn.kernels.problem import Mask, Problem
from tritonbn.partition import Partition
from tritonbn.tensors import Affine, Running, Statistics


class Scratch:
    """Random inputs of all kernels for a problem; the device "meta" needs no memory.

    Parameters
    ----------
    problem : Problem
        The sizes. Segments are made of consecutive cells.
    device : torch.device
    masked : bool, default False
        Whether to use a mask, which includes half of the values.
    activation : str, optional
    """

    def __init__(
        self,
        problem: Problem,
        device: torch.device,
        masked: bool = False,
        activation: str | None = None,
    ) -> None:
        generator = None
        if device.type != "meta":
            generator = torch.Generator(device).manual_seed(0)

        def randn(*shape: int) -> Tensor:
            dtype = problem.compute_dtype
            return torch.randn(shape, device=device, dtype=dtype, generator=generator)

        def sample() -> Tensor:
            batch, frames = problem.batch, problem.frames
            if problem.channels_last:
                x = randn(batch, frames, problem.cells, problem.channels).movedim(-1, 1)
            else:
                x = randn(batch, problem.channels, frames, problem.cells)
            return x.to(problem.dtype)

        self.problem = problem
        self.x, self.dy = sample(), sample()
        ids = torch.arange(problem.cells) // ceil(problem.cells / problem.segments)
        self.partition = Partition.of(ids).to(device)
        parameters = (problem.channels, problem.segments)
        self.affine = Affine(randn(*parameters), randn(*parameters), 1e-5, activation)
        self.gradients = (randn(*parameters), randn(*parameters))
        self.running = Running(randn(*parameters), randn(*parameters), None, 0.1)
        self.statistics = Statistics(
            randn(*parameters).double(),
            randn(*parameters).double().square(),
            torch.full((problem.segments,), problem.rows, device=device, dtype=torch.float64),
        )
        self.mask = Mask()
        if masked:
            mask = randn(problem.batch, 1, problem.frames, problem.cells) > 0
            self.mask = Mask.of(mask, self.x, problem)

    def launch(self, kernel: Kernel, config: Config) -> object:
        """Launch a kernel in a given configuration."""
        problem, x, dy = self.problem, self.x, self.dy
        ids, statistics, affine = self.partition.ids, self.statistics, self.affine
        match kernel:
            case "column_statistics":
                return stages.column_statistics(problem, x, self.mask, config)
            case "normalize":
                return stages.normalize(problem, x, ids, statistics, affine, config)
            case "column_sums":
                return stages.column_sums(
                    problem, dy, x, self.mask, ids, statistics, affine, config
                )
            case "input_gradient":
                return stages.input_gradient(
                    problem, dy, x, self.mask, ids, statistics, affine, self.gradients, config
                )
            case "one_pass_forward":
                return fused.forward(
                    problem, x, self.partition, self.mask, affine, self.running, config
                )
            case "one_pass_backward":
                return fused.backward(
                    problem, dy, x, self.partition, self.mask, affine, statistics, config
                )
