"""Schedules whose density follows from an entropy rate, that of the codec or of the training error."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from jitkit.component import Component
from jitkit.protocols import Codec, Levels, NoiseSchedule
from jitkit_plugins.schedules.cosine import Cosine
from jitkit_plugins.schedules.density import QuantileTimes
from jitkit_plugins.schedules.entropy_rate import CENTERS, bin_of, context_free_errors, entropy_rate
from jitkit_plugins.schedules.flow import Flow

PATHS: dict[str, Flow | Cosine] = {"flow": Flow(), "cosine": Cosine()}
Memory = Annotated[
    int, Field(ge=1, le=1_000_000, description="time constant of the running error of each bin, in images")
]
START_SHARE = 0.1  # of the initial errors in the learned ones, so that no bin ever gets zero density


class Density(Protocol):
    """A density of log-SNR."""

    def quantile(self, share: Tensor) -> Tensor:
        """Return the log-SNR below which `share` (float64 in [0, 1]) lies; increasing, may be infinite at the ends."""


class FromCodec(Component):
    """Settings of a schedule that depends on the codec; subclasses turn an entropy rate into a density."""

    path: Literal["flow", "cosine"] = Field("flow", description="the path of the schedule with this name")
    noise_scale: float = Field(1.0, gt=0, le=100, description="standard deviation of the noise")
    power: float = Field(0.5, ge=0.1, le=2, description="exponent of the entropy rate; below 1 widens the density")

    @abstractmethod
    def density(self, weights: Tensor) -> Density:
        """Return a density that follows `weights` [64] in the bins of `entropy_rate`."""

    def build(self, codec: Codec) -> NoiseSchedule:
        """Return the schedule that follows the codec's context-free errors."""
        return Fixed(self, codec)


@dataclass(eq=False)
class Fixed(QuantileTimes):
    """A path with a density that follows from the codec. Implements `jitkit.protocols.NoiseSchedule`.

    The context-free errors are measured on first use; the path does not need them.
    """

    settings: FromCodec
    codec: Codec

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise at the start of the path."""
        return self.settings.noise_scale

    def levels(self, t: Tensor) -> Levels:
        """Return the path at `t`."""
        return PATHS[self.settings.path].levels(t)

    @cached_property
    def start(self) -> Tensor:
        """The squared errors [64] of the context-free estimate, which define the initial density."""
        return context_free_errors(self.codec)

    @property
    def density(self) -> Density:
        """The density of log-SNR."""
        return self._density_of(self.start)

    def _density_of(self, errors: Tensor) -> Density:
        return self.settings.density(entropy_rate(errors) ** self.settings.power)

    def quantile(self, share: Tensor) -> Tensor:
        """Return the time below which `share` of the density lies."""
        log_ratio = self.density.quantile(share) + math.log(self.noise_scale)
        return PATHS[self.settings.path].time_at(log_ratio)


@dataclass(eq=False)
class Learned(Fixed):
    """The same with running training errors. Implements `jitkit.protocols.LearnedSchedule`.

    It starts at the codec's density and moves to the noisier times where context tells the most. Errors are capped at the
    context-free ones: a larger error shows that the network has not learned to decode yet, not that there is information.
    """

    memory: int

    @cached_property
    def seen(self) -> Tensor:
        """The running mean of the squared errors in each bin [64]; initially the context-free ones."""
        return self.start

    @property
    def density(self) -> Density:
        """The density of log-SNR."""
        return self._density_of(torch.lerp(self.seen.minimum(self.start), self.start, START_SHARE))

    def at_start(self) -> NoiseSchedule:
        """Return the schedule before any observation."""
        schedule = Fixed(self.settings, self.codec)
        schedule.start = self.start
        return schedule

    def observe(self, t: Tensor, errors: Tensor) -> None:
        """Update the running means: each image has weight 1 / memory in its bin."""
        at = self.levels(t.cpu().double())
        index = bin_of((at.alpha / at.sigma / self.noise_scale).log())
        num = torch.bincount(index, minlength=len(CENTERS))
        total = torch.zeros_like(CENTERS).index_add(0, index, errors.cpu().double())
        keep = (1 - 1 / self.memory) ** num
        self.seen = keep * self.seen + (1 - keep) * total / num.clamp(min=1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the initial and the running errors."""
        return {"start": self.start, "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.start, self.seen = state["start"].clone(), state["seen"].clone()
