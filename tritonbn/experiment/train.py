"""Training: AdamW, the best weights by validation spRMSE, and a checkpoint at each validation."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from data_prep.city import CityData
from tritonbn.experiment.checkpoint import Checkpoint, CheckpointError, identity
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import IntArray, Scaler
from tritonbn.experiment.encoding import Encoding
from tritonbn.experiment.evaluate import TrainedRun, estimate
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.recipe import Recipe, recipe_of
from tritonbn.experiment.scores import city_sprmse
from tritonbn.models import InterpolationNetwork

__all__ = ["StepInfo", "TrainedRun", "load_run", "train"]


@dataclass(frozen=True)
class StepInfo:
    """One training step, for whoever shows progress.

    Parameters
    ----------
    fold : int
        Of the run's configuration.
    step, steps : int
        Steps taken, and to be taken at most.
    loss : float
        Of this step's batch.
    stopping_sprmse : float or None
        In ug/m3, of stations that training knows; at the steps that validate.
    """

    fold: int
    step: int
    steps: int
    loss: float
    stopping_sprmse: float | None


def train(
    city: CityData,
    config: RunConfig,
    directory: Path,
    *,
    device: torch.device | None = None,
    on_step: Callable[[StepInfo], None] | None = None,
) -> TrainedRun:
    """Train one model, or go on where an interrupted training was.

    Parameters
    ----------
    city : CityData
        Readings; cut by `split` in the order of time.
    config : RunConfig
        What to train.
    directory : Path
        Folder of the checkpoint. A finished run there is returned at once; an interrupted one
        continues and ends, on the same machine, with the numbers of one that was not.
    device : torch.device, optional
        Default: the GPU if there is one. On a GPU, training computes in bfloat16 where that is
        safe.
    on_step : callable, optional
        Called after each step.

    Returns
    -------
    TrainedRun
        With the weights of the best validation.

    Raises
    ------
    CheckpointError
        If `directory` holds a run of another configuration or another city.
    DataError
        If the city is too small or too empty to train on.
    FloatingPointError
        If the loss is not finite.
    """
    device = device or _default_device()
    checkpoint = Checkpoint.read(directory, city)
    if checkpoint is not None:
        checkpoint.require(config, directory)
        if checkpoint.finished:
            return _trained(checkpoint, city, device)

    recipe = recipe_of(config)
    fold = Fold.of(city, config)
    times = fold.windows.times("train")
    scaler = Scaler.fit(fold.windows.city, config.scaling, config.parts)
    encoding = recipe.encoding(fold, scaler, device)
    model = recipe.network(fold, device)
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=recipe.weight_decay
    )
    rng = np.random.default_rng(config.seed)

    def validate(step: int) -> float:
        estimates = estimate(model, encoding, "validation", fold.learned, config.validation_times)
        return _finite("spRMSE", city_sprmse(estimates, city, min_readings=1), step)

    if checkpoint is None:
        checkpoint = Checkpoint(config, identity(city), scaler)
        if recipe.corrects_idw:  # to correct it must be better than not to
            entry = {"step": 0, "stopping_sprmse": validate(0)}
            best = copy.deepcopy(model.state_dict())
            checkpoint = replace(checkpoint, best=best, history=[entry])
    else:
        model.load_state_dict(checkpoint.weights)
        _load_adam(optimizer, checkpoint.adam)
        rng.bit_generator.state = checkpoint.random
    started = perf_counter() - checkpoint.seconds

    losses: list[float] = []
    for step in range(checkpoint.step + 1, config.steps + 1):
        batch = times[rng.integers(len(times), size=config.batch_size)]
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * recipe.rate(step / config.steps)
        with (
            torch.backends.cudnn.flags(enabled=True, deterministic=True),  # or no run repeats
            _seeded(config.seed, step, device),
        ):
            loss = _loss(model, recipe, encoding, batch, rng)
            loss.backward()  # type: ignore[no-untyped-call]
        if math.isfinite(recipe.steepest):
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.steepest)
        optimizer.step()
        value = _finite("loss", loss.item(), step)
        losses.append(value)
        sprmse = None
        if step % config.validate_every == 0 or step == config.steps:
            sprmse = validate(step)
            weights = model.state_dict()
            improved = sprmse < checkpoint.best_sprmse
            entry = {"step": step, "loss": fmean(losses), "stopping_sprmse": sprmse}
            checkpoint = replace(
                checkpoint,
                weights=weights,
                best=copy.deepcopy(weights) if improved else checkpoint.best,
                adam=_adam_state(optimizer),
                random=dict(rng.bit_generator.state),
                history=[*checkpoint.history, entry],
                seconds=perf_counter() - started,
            )
            checkpoint.write(directory)
            losses.clear()
        if on_step is not None:
            on_step(StepInfo(config.fold, step, config.steps, value, sprmse))
        if checkpoint.finished:
            break
    return _trained(checkpoint, city, device)


def load_run(directory: Path, city: CityData, *, device: torch.device | None = None) -> TrainedRun:
    """Load what `train` left in `directory`, finished or at its last validation.

    Raises
    ------
    CheckpointError
        If there is none, or it belongs to another city.
    """
    checkpoint = Checkpoint.read(directory, city)
    if checkpoint is None:
        raise CheckpointError(f"{directory} holds no trained run")
    return _trained(checkpoint, city, device or _default_device())


def _default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _loss(
    model: InterpolationNetwork,
    recipe: Recipe,
    encoding: Encoding,
    times: IntArray,
    rng: np.random.Generator,
) -> Tensor:
    """Loss of the batch that predicts `times`."""
    windows, device = encoding.windows, encoding.device
    hidden = recipe.hide(rng, len(times), len(windows.city.stations))
    x, scale = encoding.encode(times, hidden)
    readings = torch.from_numpy(recipe.targets(windows, times, hidden)).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        field = model.train()(x)
    weight = model.head.convolution.weight
    return recipe.loss(field, scale.scale(readings), encoding.cells, weight)


@contextmanager
def _seeded(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Let what a step drops depend on the seed and the step alone, so that a run can go on."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed((seed * 2**32 + step) % 2**63)
        yield


def _finite(name: str, value: float, step: int) -> float:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the {name} is {value} at step {step}: the learning rate is too high, or a reading"
        )
    return value


def _adam_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{parameter}.{name}": tensor
        for parameter, state in optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
    }


def _load_adam(optimizer: torch.optim.Optimizer, adam: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in adam.items():
        parameter, name = key.split(".")
        state.setdefault(int(parameter), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _trained(checkpoint: Checkpoint, city: CityData, device: torch.device) -> TrainedRun:
    fold = Fold.of(city, checkpoint.config)
    recipe = recipe_of(checkpoint.config)
    model = recipe.network(fold, device)
    model.load_state_dict(checkpoint.best)
    recipe.complete(model, fold, checkpoint.scaler)
    return TrainedRun(
        model=model.eval(),
        config=checkpoint.config,
        scaler=checkpoint.scaler,
        history=checkpoint.history,
        steps=checkpoint.step,
        seconds=checkpoint.seconds,
    )
