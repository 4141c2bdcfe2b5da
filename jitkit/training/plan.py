"""The length of a run, the steps at which it validates and saves, and the learning rate of each step."""

from __future__ import annotations

from dataclasses import dataclass

from jitkit.manifest.schema import Train


@dataclass(frozen=True)
class Plan:
    """Steps and epochs of a run. An epoch is one pass over the text.

    A batch may contain windows of two epochs. An epoch ends with the step that draws its last window.
    """

    num_windows: int  # per epoch
    batch_size: int
    num_steps: int
    validate_every: int = 1
    checkpoint_every: int = 1
    validate_steps: int | None = None  # instead of both

    @classmethod
    def of(cls, train: Train, num_windows: int) -> Plan:
        """Return the plan of a manifest. `max_steps` takes precedence over `epochs`.

        The length of a run with `minutes` is known only after `fit_to_minutes`. Until then it is `epochs`, by default one.
        """
        num_steps = train.max_steps or -(-(train.epochs or 1) * num_windows // train.batch_size)
        intervals = train.validate_every, train.checkpoint_every, train.validate_steps
        return cls(num_windows, train.batch_size, num_steps, *intervals)

    @property
    def num_epochs(self) -> int:
        """The epoch of the last step."""
        return self.epoch(self.num_steps)

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps per epoch, rounded, at least 1."""
        return max(1, round(self.num_windows / self.batch_size))

    def epoch(self, step: int) -> int:
        """Return the epoch (from 1) of step number `step` (from 1); 0 before the first step."""
        if step == 0:
            return 0
        return self._completed(step) + (0 if self.ends_epoch(step) else 1)

    def ends_epoch(self, step: int) -> bool:
        """Return whether step number `step` (from 1) ends an epoch."""
        return step > 0 and self._completed(step) > self._completed(step - 1)

    def validates_at(self, step: int) -> bool:
        """Return whether the run validates after step `step`: at its interval and at the end."""
        return self._is_due(step, self.validate_every)

    def checkpoints_at(self, step: int) -> bool:
        """Return whether the run saves after step `step`: at its interval and at the end."""
        return self._is_due(step, self.checkpoint_every)

    def _is_due(self, step: int, every: int) -> bool:
        if self.validate_steps is not None:
            passed = step % self.validate_steps == 0
        else:
            passed = self._completed(step) // every > self._completed(step - 1) // every
        return step > 0 and (passed or step == self.num_steps)

    def _completed(self, step: int) -> int:
        return step * self.batch_size // self.num_windows
