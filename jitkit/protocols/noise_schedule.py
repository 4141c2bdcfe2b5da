"""The path from noise to data, the density of training times on it, and the sampling times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from jitkit.protocols.codec import Codec


class Levels(NamedTuple):
    """The path at times t: ``z = alpha x + sigma noise``, and the derivatives by t. All have the shape of t."""

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor


@runtime_checkable
class NoiseSchedule(Protocol):
    """A path, a density of t and a grid: the table `[schedule]`. **t = 0 is noise, t = 1 is data.**

    ``noise ~ N(0, I) * noise_scale``. Requirements: (alpha, sigma) is (0, 1) at t = 0 and (1, 0) at t = 1;
    alpha / sigma rises strictly; the derivatives equal finite differences; draws lie in (0, 1) and follow the
    generator; the grid rises strictly from exactly 0 to exactly 1 and has the quantiles of the density of `draw`.
    The schedule with the class attribute `is_default = True` is used where no manifest names one; it needs no settings.
    """

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise at the start of the path."""

    def levels(self, t: Tensor) -> Levels:
        """Return the path at `t` (any shape, float, in [0, 1])."""

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """Return `num` training times [num] float32 on the CPU."""

    def grid(self, num_steps: int) -> Tensor:
        """Return the sampling times t[0..num_steps], float32 on the CPU, t[0] = 0 and t[num_steps] = 1."""


@runtime_checkable
class PixelSchedule(NoiseSchedule, Protocol):
    """A schedule that gives the pixels of an image different times, such as later ones to the beginning of the text.

    One time describes a sampling trajectory, that in the middle of the text; so `draw` and `grid` are as usual, and `levels`
    is the path that every pixel follows at times of its own. Requirements: all pixels of a token have the same time; on a
    trajectory it rises from exactly 0 at t = 0 to exactly 1 at t = 1.
    """

    def pixel_times(self, t: Tensor) -> Tensor:
        """Return the times of the pixels on a trajectory, [1 or B, 1, H, W], at `t`, 0-dimensional or [B, 1, 1, 1]."""

    def draw_pixel_times(self, num: int, generator: torch.Generator) -> Tensor:
        """Return the times of the pixels of training images, [num, 1, H, W] float32 in (0, 1), on the CPU."""


@runtime_checkable
class LearnedSchedule(NoiseSchedule, Protocol):
    """A schedule whose density and grid follow the training error; its path never changes.

    Its state is part of a checkpoint. Requirements: a new schedule that loads the state continues bit for bit; density
    and grid agree after any observations; more times are drawn where the error is larger; the result of `at_start`
    does not learn.
    """

    def at_start(self) -> NoiseSchedule:
        """Return the schedule before any observation. It makes validation losses of different steps comparable."""

    def observe(self, t: Tensor, errors: Tensor) -> None:
        """Learn from a training step: its times `t` [B], and the mean squared `errors` [B] of the estimates `x_hat`."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state: named tensors on the CPU whose names, shapes and types never change."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy the state of an equal schedule; names, shapes and types have been checked."""


@runtime_checkable
class NoiseScheduleComponent(Protocol):
    """Settings of a schedule that depends on the codec; other schedules implement `NoiseSchedule` themselves."""

    name: ClassVar[str]

    def build(self, codec: Codec) -> NoiseSchedule:
        """Return the schedule; a `LearnedSchedule` if it learns."""


AnyNoiseSchedule = NoiseSchedule | NoiseScheduleComponent
"""What the table `[schedule]` may name; `jitkit.assembly.working_schedule` turns either into a `NoiseSchedule`."""
