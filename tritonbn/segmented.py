"""`SegmentedBatchNorm`: how a layer sets, moves, saves and loads its segments."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.modules.batchnorm import _BatchNorm

from tritonbn.levels import Levels
from tritonbn.segments import Segments, plain_tensors


class SegmentedBatchNorm(_BatchNorm):
    """A batch norm layer with segments; the subclass makes its parameters and statistics.

    Parameters
    ----------
    num_features : int
    segments : Segments
    eps : float
    momentum : float or None
    """

    levels: Levels | None = None  # class attribute, for layers pickled by an earlier version

    def __init__(
        self, num_features: int, segments: Segments, eps: float, momentum: float | None
    ) -> None:
        # PyTorch would make parameters and buffers of shape (C,); the subclass needs (C, S)
        super().__init__(num_features, eps, momentum, affine=False, track_running_stats=False)
        self._take(segments)

    @property
    def segments(self) -> Segments:
        """The partition of the grid."""
        ids = self._segment_ids
        if not torch.compiler.is_compiling() and ids._version != self._known_version:
            self.segment_ids = ids
        return self._segments

    @segments.setter
    def segments(self, segments: Segments) -> None:
        if not isinstance(segments, Segments):
            raise TypeError(f"segments must be a tritonbn.Segments, got {type(segments).__name__}")
        if segments.num_segments != self._segments.num_segments:
            raise ValueError(
                f"segments must have {self._segments.num_segments} segments, as many as the layer "
                f"has parameters for, got {segments}"
            )
        if self.levels is not None and segments != self._segments:
            raise ValueError("the segments of a layer with several levels cannot be replaced")
        self._take(segments)
        self._place_segments()

    @property
    def segment_ids(self) -> Tensor:
        """The ids of the segments."""
        return self._segment_ids

    @segment_ids.setter
    def segment_ids(self, ids: Tensor) -> None:
        segments = Segments(ids)
        if segments != self._segments:
            self.segments = segments
        self._known_version = self._segment_ids._version

    @property
    def level_index(self) -> Tensor:
        """The entry of the state that tells the levels apart; only layers with levels have it."""
        if self.levels is None:
            raise AttributeError(f"a {type(self).__name__} without levels has no level_index")
        return self.levels.index

    @level_index.setter
    def level_index(self, index: Tensor) -> None:
        if not self._has_index(index):
            raise ValueError("the levels of a layer cannot be replaced")

    @plain_tensors()
    def _take(self, segments: Segments) -> None:
        self._segments = segments
        self._segment_ids = segments.ids.clone()
        self._known_version = self._segment_ids._version

    def _place_segments(self) -> None:
        """Copy the segments to the device of the parameters once, ahead of the first call."""
        for tensor in (self.weight, self.running_mean):
            if tensor is not None and not isinstance(tensor, FakeTensor):
                self._segments.on(tensor.device)

    def __getstate__(self) -> dict[str, Any]:
        self._segments = self.segments  # includes in-place changes of the ids
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._take(self._segments)
        self._place_segments()

    def _apply(self, fn: Any, recurse: bool = True) -> "SegmentedBatchNorm":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._place_segments()
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        # a copy, because tools that average weights change the tensors of a state in place
        destination[prefix + "segment_ids"] = self._segment_ids.clone()
        if self.levels is not None:
            destination[prefix + "level_index"] = self.levels.index.clone()

    def _has_index(self, index: Tensor | None) -> bool:
        if self.levels is None or index is None:
            return self.levels is None and index is None
        own = self.levels.index
        return index.shape == own.shape and bool((index.to(own.device) == own).all())

    def _load_ids(self, ids: Tensor) -> None:
        """Take over the ids of a state, which may be whole numbers in any dtype."""
        if ids.is_floating_point() and torch.equal(ids, ids.round()):
            ids = ids.to(torch.int64)
        saved, own = Segments(ids), self.segments
        same_shape = (saved.grid, saved.num_segments) == (own.grid, own.num_segments)
        if not same_shape or (self.levels is not None and saved != own):
            raise ValueError(f"{saved} cannot be loaded into {own}")
        if saved != own:
            self.segments = saved

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load a state and its segments; a single segment also loads a `torch.nn.BatchNorm2d`."""
        state = dict(state_dict)
        ids = state.pop(prefix + "segment_ids", None)
        index = state.pop(prefix + "level_index", None)
        if index is None and self.levels is not None:
            missing_keys += [prefix + "level_index"] * strict
        elif not self._has_index(index):
            saved = _levels_in_words(index)
            own = _levels_in_words(None if self.levels is None else self.levels.index)
            error_msgs.append(
                f"{prefix}segments: a state with {saved} cannot be loaded into a layer with "
                f"{'other levels of the same sizes' if saved == own else own}"
            )
        if ids is not None:
            try:
                self._load_ids(ids)
            except (TypeError, ValueError) as error:
                error_msgs.append(f"{prefix}segments: {error}")
        elif self.segments.num_segments == 1:
            for name in ("weight", "bias", "running_mean", "running_var"):
                value = state.get(prefix + name)
                if value is not None and value.shape == (self.num_features,):
                    state[prefix + name] = value[:, None]
        elif strict:
            missing_keys.append(prefix + "segment_ids")
        super()._load_from_state_dict(
            state, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


def _levels_in_words(index: Tensor | None) -> str:
    """Describe the levels of which a state or a layer has this index."""
    if index is None:
        return "no levels"
    return f"levels of {', '.join(str(int(level.max()) + 1) for level in index)} segments"
