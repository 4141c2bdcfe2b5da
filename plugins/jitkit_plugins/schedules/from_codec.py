"""Schedules whose density follows from an entropy rate: the codec's own, or one that training has seen."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from jitkit.component import Component
from jitkit.protocols import Codec, Levels, NoiseSchedule
from jitkit_plugins.schedules import quantiles
from jitkit_plugins.schedules.cosine import Cosine
from jitkit_plugins.schedules.entropy_rate import CENTRES, bin_of, contextless_errors, entropy_rate
from jitkit_plugins.schedules.flow import Flow

PATHS: dict[str, Flow | Cosine] = {"flow": Flow(), "cosine": Cosine()}
WATCHED = 0.1  # part of the start in what was learned, so that no place is ever given up


class Density(Protocol):
    """A density of log-SNR."""

    def quantile(self, share: Tensor) -> Tensor:
        """Return the log-SNR below which `share` (float64 in [0, 1]) lies, rising; may be infinite at the ends."""
        ...


class FromCodec(Component):
    """Settings of a schedule that has to know the codec; the members of this family say which density a rate becomes."""

    path: Annotated[Literal["flow", "cosine"], Field(description="the path, as the schedule of this name has it")] = (
        "flow"
    )
    noise_scale: Annotated[float, Field(gt=0, le=100, description="standard deviation of the noise")] = 1.0
    power: Annotated[
        float, Field(ge=0.1, le=2, description="of the entropy rate that the density follows; below 1 widens it")
    ] = 0.5

    @abstractmethod
    def density(self, weights: Tensor) -> Density:
        """Return the density that is in proportion to `weights` [64] in the bins of `entropy_rate`, or like it."""

    def build(self, codec: Codec) -> NoiseSchedule:
        """Return the schedule that fits the codec's contextless curve."""
        return Fixed(self, codec)


class Fixed:
    """A path with a density that the codec decides. Implements `jitkit.protocols.NoiseSchedule`.

    The contextless curve is measured when it is first asked for: who only wants the path does not wait for it.
    """

    def __init__(self, settings: FromCodec, codec: Codec) -> None:
        self.settings, self.codec = settings, codec

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise that starts the path."""
        return self.settings.noise_scale

    def levels(self, t: Tensor) -> Levels:
        """Return the path at `t`."""
        return PATHS[self.settings.path].levels(t)

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """Return `num` times [num] float32 in (0, 1), on the CPU; see `quantiles.draw`."""
        return quantiles.draw(self._quantile, num, generator)

    def grid(self, num_steps: int) -> Tensor:
        """Return the sampling times [num_steps + 1] float32 from exactly 0 to exactly 1; see `quantiles.grid`."""
        return quantiles.grid(self._quantile, num_steps)

    @cached_property
    def start(self) -> Tensor:
        """The squared errors [64] of reading without context, which the density starts from."""
        return contextless_errors(self.codec)

    @property
    def density(self) -> Density:
        """The density of log-SNR."""
        return self._density_of(self.start)

    def _density_of(self, errors: Tensor) -> Density:
        return self.settings.density(entropy_rate(errors) ** self.settings.power)

    def _quantile(self, share: Tensor) -> Tensor:
        log_ratio = self.density.quantile(share) + math.log(self.noise_scale)
        return PATHS[self.settings.path].time_at(log_ratio)


class Learned(Fixed):
    """The same, with errors that training has seen. Implements `jitkit.protocols.LearnedSchedule`.

    It starts where the codec is fitted and moves to the noisier times at which context tells the most. An error above the
    contextless one says that the network has not learned to read yet, not that there is something to be read: it counts as
    the contextless one.
    """

    def __init__(self, settings: FromCodec, codec: Codec, memory: int) -> None:
        super().__init__(settings, codec)
        self.memory = memory

    @cached_property
    def seen(self) -> Tensor:
        """The running mean of the squared errors in each bin [64]; before the first, what a reader without context has."""
        return self.start

    @property
    def density(self) -> Density:
        """The density of log-SNR."""
        return self._density_of(torch.lerp(self.seen.minimum(self.start), self.start, WATCHED))

    def at_start(self) -> NoiseSchedule:
        """Return the schedule before it learned."""
        schedule = Fixed(self.settings, self.codec)
        schedule.start = self.start
        return schedule

    def observe(self, t: Tensor, errors: Tensor) -> None:
        """Let the running means follow: an image is worth 1 / memory of the mean of its bin."""
        at = self.levels(t.double().cpu())
        index = bin_of((at.alpha / at.sigma / self.noise_scale).log())
        num = torch.bincount(index, minlength=len(CENTRES))
        total = torch.zeros_like(CENTRES).index_add(0, index, errors.double().cpu())
        keep = (1 - 1 / self.memory) ** num
        self.seen = keep * self.seen + (1 - keep) * total / num.clamp(min=1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was learned, and where it started from."""
        return {"start": self.start, "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""
        self.start, self.seen = state["start"].clone(), state["seen"].clone()
