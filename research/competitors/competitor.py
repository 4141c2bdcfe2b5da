"""The interfaces of a competitor and of its trained model, and the settings they are sampled at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from research.competitors.sampling_grid import SamplingGrid

Setting = Mapping[str, Any]
Settings = dict[str, Setting]  # by the label in the table
DEFAULT: Settings = {"": {}}


class TrainedModel(Protocol):
    """A competitor after training."""

    @property
    def network(self) -> nn.Module:
        """The module that is called once per evaluation."""
        ...

    def generate(self, seeds: Sequence[int], evaluations: int, setting: Setting) -> Tensor:
        """Return tokens [B, L], one window per seed."""
        ...

    def infill(self, tokens: Tensor, hidden: Tensor, evaluations: int, setting: Setting) -> Tensor | None:
        """Return `tokens` [B, L] with new ones where `hidden` is true, or None if the model cannot infill."""
        ...


class Competitor(Protocol):
    """A kind of model that can be trained."""

    @property
    def name(self) -> str:
        """The name in the table."""
        ...

    def sample_settings(self, grid: SamplingGrid) -> Settings:
        """Return the settings at which texts are sampled."""
        ...

    def infill_settings(self, grid: SamplingGrid) -> Settings:
        """Return the settings for infilling."""
        ...

    def evaluations(self, requested: Sequence[int]) -> Sequence[int]:
        """Return the numbers of evaluations per text that the model supports, given the requested ones."""
        ...

    def train(self, folder: Path, seed: int) -> float:
        """Train in a folder, or resume there, and return the median seconds per step."""
        ...

    def load(self, folder: Path, seed: int) -> TrainedModel:
        """Return the model trained in a folder."""
        ...


def temperature_settings(key: str, temperatures: Sequence[float]) -> Settings:
    """Return one setting per temperature, passed as `key`."""
    return {f"temperature {temperature}": {key: temperature} for temperature in temperatures}


def combine(*axes: Settings) -> Settings:
    """Return every combination of one setting per axis. Labels are joined by commas."""
    combined: Settings = {}
    for chosen in product(*(axis.items() for axis in axes)):
        label = ", ".join(label for label, _ in chosen if label)
        combined[label] = {key: value for _, setting in chosen for key, value in setting.items()}
    return combined
