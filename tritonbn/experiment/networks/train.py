"""Training: AdamW, the weights of the best validation, a checkpoint at each validation."""

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
from torch import Tensor, nn

from data_prep.city import CityData
from tritonbn.experiment.networks.allocator import keep_freed_memory
from tritonbn.experiment.networks.checkpoint import Checkpoint, identity
from tritonbn.experiment.networks.combinations import require_variation
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.data_parallel import Ranks
from tritonbn.experiment.networks.encoding import Encoding
from tritonbn.experiment.networks.predict import estimate
from tritonbn.experiment.networks.recipe import Recipe
from tritonbn.experiment.networks.recipes import recipe_of
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.networks.trained import TrainedNetwork, default_device
from tritonbn.experiment.task.arrays import IntArray
from tritonbn.experiment.task.scores import city_sprmse
from tritonbn.models import InterpolationNetwork


@dataclass(frozen=True)
class StepInfo:
    """One training step, for a display of the progress.

    Parameters
    ----------
    fold : int
        Of the run's configuration.
    step : int
        Steps taken.
    loss : float
        Of the batch of this step.
    stopping_sprmse : float or None
        In the unit of the readings, of stations that take part in training; None if this step does
        not validate.
    """

    fold: int
    step: int
    loss: float
    stopping_sprmse: float | None


OnStep = Callable[[StepInfo], None]


def train_network(
    city: CityData,
    config: RunConfig,
    directory: Path | None = None,
    *,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
    ranks: Ranks | None = None,
) -> TrainedNetwork:
    """Train one network, or resume an interrupted training from its checkpoint.

    Parameters
    ----------
    city : CityData
        The readings.
    config : RunConfig
        What to train, and which fold of the stations is held out.
    directory : Path, optional
        Folder of the checkpoint. A finished training there is returned at once. An interrupted one
        is resumed, and its results on the same machine are those of an uninterrupted one. Default:
        no checkpoint is written.
    device : torch.device, optional
        Default: the GPU if there is one. On a GPU, training uses autocast to bfloat16.
    on_step : callable, optional
        Called after each step.
    ranks : Ranks, optional
        The processes that train the network together. Only the first one uses the `directory`.
        Default: this process alone.

    Returns
    -------
    TrainedNetwork
        With the weights of the best validation.

    Raises
    ------
    CheckpointError
        If `directory` holds a run of another configuration or another city.
    ConfigError
        If there are more processes than samples in a batch.
    DataError
        If the city has too few stations or readings to train on, or its readings hardly vary in
        their unit.
    FloatingPointError
        If the loss is not finite.
    """
    require_variation(city, config.network, config.norm)
    device = device or default_device()
    ranks = ranks or Ranks()
    directory = directory if ranks.is_first else None
    checkpoint = Checkpoint.read(directory, city) if directory else None
    if checkpoint is not None and directory:
        checkpoint.require(config, directory)
    checkpoint = ranks.share(checkpoint)
    if checkpoint is not None and checkpoint.finished:
        return TrainedNetwork.restore(checkpoint, city, device)

    if device.type == "cpu":
        keep_freed_memory()
    recipe = recipe_of(config)
    fold = config.fold_of(city)
    times = fold.windows.times("train")
    scaler = Scaler.fit(fold.windows.city, config.scaling, config.parts)
    encoding = recipe.encoding(fold, scaler, device)
    model = recipe.network(fold, device)
    parallel = ranks.parallel(model, config.batch_size)
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    rng = np.random.default_rng(config.seed)

    def validate(step: int) -> float:
        score = math.nan
        if ranks.is_first:
            asked, count = fold.learned, config.validation_times
            table = estimate(model, encoding, "validation", asked, count)
            score = _finite("spRMSE", city_sprmse(table, city, min_readings=1), step)
        return float(ranks.share(score))

    if checkpoint is None:
        checkpoint = Checkpoint(config, identity(city), scaler)
        if recipe.starts_as_idw:  # the best weights must be better than IDW
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
            torch.backends.cudnn.flags(enabled=True, deterministic=True),
            _seeded(config.seed, step, device),
        ):
            loss = _loss(parallel, model, recipe, encoding, batch, rng, ranks)
            loss.backward()  # type: ignore[no-untyped-call]
        if math.isfinite(recipe.max_grad_norm):
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
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
            if directory is not None:
                checkpoint.write(directory)
            losses.clear()
        if on_step is not None:
            on_step(StepInfo(config.fold, step, value, sprmse))
        if checkpoint.finished:
            break
    return TrainedNetwork.restore(checkpoint, city, device)


def _loss(
    parallel: nn.Module,
    model: InterpolationNetwork,
    recipe: Recipe,
    encoding: Encoding,
    times: IntArray,
    rng: np.random.Generator,
    ranks: Ranks,
) -> Tensor:
    """Return the loss of the batch that predicts `times`, of which this process computes a part."""
    windows, device, samples = encoding.windows, encoding.device, len(times)
    part = ranks.part(samples)
    hidden = recipe.hide(rng, samples, len(windows.city.stations))[part]
    times = times[part]
    x, scale = encoding.encode(times, hidden)
    readings = torch.from_numpy(recipe.targets(windows, times, hidden)).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        field = parallel.train()(x)
    field, targets = (ranks.gather(own, samples) for own in (field, scale.scale(readings)))
    weight = model.head.convolution.weight
    return recipe.loss(field, targets, encoding.cells, weight)


@contextmanager
def _seeded(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Seed the dropout of a step by seed and step alone, so that a resumed training repeats it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed((seed * 2**32 + step) % 2**63)
        yield


def _finite(name: str, value: float, step: int) -> float:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the {name} is {value} at step {step}; lower learning_rate, or check the readings for "
            "extreme values"
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
