"""The path from noise to data, where on it the model trains, and where it samples."""

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

    ``noise ~ N(0, I) * noise_scale``. Laws: (alpha, sigma) is (0, 1) at t = 0 and (1, 0) at t = 1; alpha / sigma rises
    strictly; the derivatives equal finite differences; draws lie in (0, 1) and follow the generator; the grid rises
    strictly from exactly 0 to exactly 1 and has the quantiles of the density that `draw` samples.
    """

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise that starts the path."""
        ...

    def levels(self, t: Tensor) -> Levels:
        """Return the path at `t` (any shape, float, in [0, 1])."""
        ...

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """Return `num` training times [num] float32 on the CPU."""
        ...

    def grid(self, num_steps: int) -> Tensor:
        """Return the sampling times t[0..num_steps], float32 on the CPU, t[0] = 0 and t[num_steps] = 1."""
        ...


@runtime_checkable
class LearnedSchedule(NoiseSchedule, Protocol):
    """A schedule whose density and grid follow what the network has learned; a path never changes.

    What it learned is part of a checkpoint. Laws: a new one that loads the state goes on bit for bit; density and grid stay
    one, whatever was seen; where more error is seen, more is drawn; what `at_start` returned does not learn.
    """

    def at_start(self) -> NoiseSchedule:
        """Return the schedule before it learned: validation losses of any two steps compare under it."""
        ...

    def observe(self, t: Tensor, errors: Tensor) -> None:
        """Learn from a training step: its times `t` [B], and the mean squared `errors` [B] of the estimates `x_hat`."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was learned: named tensors on the CPU, of which names, shapes and types are always the same."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over (copy) what `state_dict` of an equal schedule returned; names, shapes and types have been checked."""
        ...


@runtime_checkable
class NoiseScheduleComponent(Protocol):
    """Settings of a schedule that has to know the codec; a schedule that need not know it works as it is."""

    name: ClassVar[str]

    def build(self, codec: Codec) -> NoiseSchedule:
        """Return the schedule, a `LearnedSchedule` where it learns."""
        ...


AnyNoiseSchedule = NoiseSchedule | NoiseScheduleComponent
"""What the table `[schedule]` may name; `jitkit.assembly.working_schedule` makes one of the two of it."""
